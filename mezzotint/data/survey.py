"""What must be known about all images before they are packed: content, sizes, colour."""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mezzotint.data.entry import Entry, Skip
from mezzotint.errors import MezzotintError
from mezzotint.storage.files import replace_json

FORMAT = 1


@dataclass(frozen=True)
class Look:
    """One image as its header shows it.

    Attributes:
        digest: SHA-256 hex of the encoded file.
        size: height and width in pixels as displayed.
        grey: whether it has no colour.
        alpha: whether it has transparency.
    """

    digest: str
    size: tuple[int, int]
    grey: bool
    alpha: bool


@dataclass(frozen=True)
class Survey:
    """A whole source in a few facts.

    Attributes:
        content: SHA-256 hex over names, labels, captions, split and file bytes.
        count: images that look usable.
        uniform: height and width when all are the same.
        short: median of the shorter sides.
        smallest: height and width of the image with the fewest pixels.
        largest: height and width of the image with the most pixels.
        grey: whether no image has colour.
        alpha: how many have transparency.
        dropped: index into the source's entries, reason and detail of each unusable one.
    """

    content: str
    count: int
    uniform: tuple[int, int] | None
    short: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    grey: bool
    alpha: int = 0
    dropped: tuple[tuple[int, str, str], ...] = ()

    def covers(self, entries: int) -> bool:
        """Whether this survey can belong to a source of so many entries."""
        places = {at for at, _, _ in self.dropped}
        return self.count + len(places) == entries and all(0 <= at < entries for at in places)

    def rows(self, entries: int) -> list[int]:
        """The entries of a source, of so many, that look usable."""
        dropped = {at for at, _, _ in self.dropped}
        return [at for at in range(entries) if at not in dropped]


def uniform_survey(content: str, count: int, size: tuple[int, int], channels: int) -> Survey:
    """The survey of ``count`` images that all have this size and number of channels."""
    alpha = count if channels == 4 else 0
    return Survey(content, count, size, min(size), size, size, channels == 1, alpha)


def summarise(
    entries: Sequence[Entry], looks: Sequence[Look | Skip], classes: Sequence[str]
) -> Survey:
    """Fold what each image looks like into one survey; ``looks`` runs parallel to ``entries``."""
    seen = [look for look in looks if isinstance(look, Look)]
    sizes = Counter(look.size for look in seen) or Counter({(0, 0): 1})
    digests = [look.digest if isinstance(look, Look) else None for look in looks]
    return Survey(
        content=content_digest(entries, digests, classes),
        count=len(seen),
        uniform=next(iter(sizes)) if len(sizes) == 1 else None,
        short=_median_short(sizes),
        smallest=min(sizes, key=_area),
        largest=max(sizes, key=_area),
        grey=all(look.grey for look in seen),
        alpha=sum(look.alpha for look in seen),
        dropped=tuple(
            (at, look.reason, look.detail)
            for at, look in enumerate(looks)
            if isinstance(look, Skip)
        ),
    )


def content_digest(
    entries: Sequence[Entry], digests: Iterable[str | None], classes: Sequence[str]
) -> str:
    """SHA-256 hex over what is known of each image and its bytes; None leaves an image out."""
    total = hashlib.sha256(json.dumps(list(classes)).encode())
    for entry, digest in zip(entries, digests, strict=True):
        if digest is not None:
            facts = [entry.name, entry.label, entry.caption, entry.split, digest]
            total.update(json.dumps(facts).encode())
    return total.hexdigest()


def _area(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] * size[1], size[0]


def _median_short(sizes: Counter[tuple[int, int]]) -> int:
    """Lower median of the shorter sides, weighted by how often each size occurs."""
    half, passed = (sizes.total() + 1) // 2, 0
    for size, count in sorted(sizes.items(), key=lambda item: min(item[0])):
        passed += count
        if passed >= half:
            return min(size)
    return 0


def save_survey(path: Path, survey: Survey) -> None:
    """Keep a survey as JSON; one that cannot be kept only costs time at the next start."""
    with contextlib.suppress(OSError, MezzotintError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_json(path, {"format": FORMAT, **asdict(survey)})


def load_survey(path: Path) -> Survey | None:
    """A kept survey, or None when there is none that can be used."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return _survey(stored) if stored.pop("format") == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _survey(stored: dict[str, Any]) -> Survey:
    uniform = stored["uniform"]
    return Survey(
        content=str(stored["content"]),
        count=int(stored["count"]),
        uniform=None if uniform is None else _pair(uniform),
        short=int(stored["short"]),
        smallest=_pair(stored["smallest"]),
        largest=_pair(stored["largest"]),
        grey=bool(stored["grey"]),
        alpha=int(stored["alpha"]),
        dropped=tuple((int(at), str(why), str(how)) for at, why, how in stored["dropped"]),
    )


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)
