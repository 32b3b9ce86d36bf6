"""What a check of a data set found, as plain values."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mezzotint.data.entry import Skip

SCHEMA = 1
EXAMPLES = 20
BAD_DATA = 65  # exit status, as of DataError

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Problem:
    """One kind of fault, and how often it was found.

    Attributes:
        code: stable word, such as ``near-duplicates``.
        severity: ``error`` stops a job, ``warning`` spoils a result, ``note`` is worth knowing.
        what: what ``count`` counts.
        count: how many.
        examples: at most 20 of them by name.
        fix: one sentence that says what to do.
    """

    code: str
    severity: Severity
    what: str
    count: int
    examples: tuple[str, ...]
    fix: str


@dataclass(frozen=True)
class Extent:
    """Smallest, median and largest of a length in pixels (lower median); zeros for no image."""

    least: int = 0
    median: int = 0
    most: int = 0


@dataclass(frozen=True)
class Sizes:
    """Sizes as displayed.

    Attributes:
        width, height, short: extents of both sides and of the shorter one.
        common: up to ten "WIDTHxHEIGHT" and how many images have it, most frequent first.
        distinct: how many sizes there are.
    """

    width: Extent = Extent()
    height: Extent = Extent()
    short: Extent = Extent()
    common: dict[str, int] = field(default_factory=dict)
    distinct: int = 0


@dataclass(frozen=True)
class Captions:
    """How images are described.

    Attributes:
        count: images with a caption that holds more than spaces.
        missing: images without any.
        empty: captions of nothing but spaces.
        repeated: share of ``count`` whose text another image has as well.
        median_length: characters.
    """

    count: int = 0
    missing: int = 0
    empty: int = 0
    repeated: float = 0.0
    median_length: int = 0


@dataclass(frozen=True)
class Checkup:
    """Everything a check found. Names are those of the source's entries.

    Attributes:
        spec: what the user typed.
        total: files that look like images.
        usable: those that can be read.
        unreadable: the others, with the reason.
        formats, modes, bits: how many images there are of each.
        sizes: sizes as displayed.
        grey: images without colour, however they are stored.
        transparent: images of which a part can be seen through.
        animated: files with more than one frame.
        constant: images of one colour.
        splits: images the source itself puts on each side.
        classes: images of each class.
        captions: how images are described.
        duplicates: groups with equal pixels.
        near_duplicates: groups that look the same, exact copies named once.
        suggested_size: height and width training takes when none is asked for; None
            without a usable image.
        suggested_channels: 1 when no image has colour, otherwise 3.
        problems: what is wrong, worst first.
    """

    spec: str
    total: int
    usable: int
    unreadable: tuple[Skip, ...]
    formats: dict[str, int]
    modes: dict[str, int]
    bits: dict[str, int]
    sizes: Sizes
    grey: int
    transparent: int
    animated: int
    constant: int
    splits: dict[str, int]
    classes: dict[str, int]
    captions: Captions
    duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, ...], ...]
    suggested_size: tuple[int, int] | None
    suggested_channels: int
    problems: tuple[Problem, ...]

    @property
    def exit_code(self) -> int:
        """0, or 65 when there is a problem of severity ``error``."""
        return BAD_DATA if any(problem.severity == "error" for problem in self.problems) else 0

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: lists instead of tuples, with ``schema`` and ``exit_code``."""
        plain: dict[str, Any] = _plain(asdict(self))
        return {"schema": SCHEMA, "exit_code": self.exit_code, **plain}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
