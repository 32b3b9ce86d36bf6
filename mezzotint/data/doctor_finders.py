"""What the data set doctor knows about a source, and the cases of each fault in it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mezzotint.data.entry import Skip
from mezzotint.data.exam import Exam

SMALL_SIDE = 16  # pixels; the smallest size every family trains at
LONG_ASPECT = 4  # longer side over shorter side
IMBALANCE = 10  # most frequent class over another one
FEW = 10  # images a class should have
MOSTLY = 0.5


@dataclass(frozen=True)
class Facts:
    """All that the rules may look at.

    Attributes:
        exams: readable images.
        skips: files that are not.
        exact: positions in ``exams`` with equal pixels.
        near: positions that look the same, exact copies included.
    """

    exams: Sequence[Exam]
    skips: tuple[Skip, ...]
    exact: Sequence[Sequence[int]]
    near: Sequence[Sequence[int]]

    @cached_property
    def classes(self) -> dict[str, int]:
        """Images of each class, in the order of the names."""
        labels = (exam.entry.label for exam in self.exams)
        return dict(sorted(Counter(label for label in labels if label is not None).items()))

    @cached_property
    def distinct(self) -> list[list[int]]:
        """``near`` with one of each set of exact copies."""
        extra = {at for group in self.exact for at in group[1:]}
        return [[at for at in group if at not in extra] for group in self.near]

    def name(self, at: int) -> str:
        """Name of a readable image."""
        return self.exams[at].entry.name

    def names(self, sets: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
        """Groups of positions as groups of names."""
        return tuple(tuple(self.name(at) for at in group) for group in sets)


Finder = Callable[[Facts], list[str]]


def where(holds: Callable[[Exam], bool]) -> Finder:
    """Images for which something holds."""
    return lambda facts: [exam.entry.name for exam in facts.exams if holds(exam)]


def no_images(facts: Facts) -> list[str]:
    """A source without any picture."""
    return [] if facts.exams else ["no image can be read"]


def unreadable(facts: Facts) -> list[str]:
    """Files that give no picture, with the reason."""
    return [f"{skip.name} ({skip.reason})" for skip in facts.skips]


def is_long(exam: Exam) -> bool:
    """Whether one side is far longer than the other."""
    return max(exam.size) > LONG_ASPECT * min(exam.size)


def unlike_most(key: Callable[[Exam], object]) -> Finder:
    """Images that differ from the most frequent kind."""

    def find(facts: Facts) -> list[str]:
        kinds = Counter(map(key, facts.exams))
        most = kinds.most_common(1)[0][0] if kinds else None
        return [exam.entry.name for exam in facts.exams if key(exam) != most]

    return find


def grey_as_colour(facts: Facts) -> list[str]:
    """Colour files, when no picture of the set has colour."""
    if not all(exam.grey for exam in facts.exams):
        return []
    return [exam.entry.name for exam in facts.exams if not exam.info.grey]


def extra_copies(facts: Facts) -> list[str]:
    """All but the first of each set of exact copies."""
    return [
        f"{facts.name(at)} = {facts.name(group[0])}" for group in facts.exact for at in group[1:]
    ]


def extra_likes(facts: Facts) -> list[str]:
    """All but the first of each set that looks the same."""
    sets = facts.distinct
    return [f"{facts.name(at)} ~ {facts.name(group[0])}" for group in sets for at in group[1:]]


def _leaks(facts: Facts, sets: Sequence[Sequence[int]]) -> dict[int, str]:
    """Held-out images in a group with a training image, and a sentence on each."""
    found: dict[int, str] = {}
    for group in sets:
        sides = {at: facts.exams[at].entry.split for at in group}
        twins = [facts.name(at) for at, side in sides.items() if side == "train"]
        held = [at for at, side in sides.items() if side == "held_out" and twins]
        found |= {at: f"{facts.name(at)} is in train as {twins[0]}" for at in held}
    return found


def exact_leaks(facts: Facts) -> list[str]:
    """Held-out images that train has as well, pixel for pixel."""
    return list(_leaks(facts, facts.exact).values())


def near_leaks(facts: Facts) -> list[str]:
    """Held-out images that look like one in train; exact leaks are left out."""
    exact = _leaks(facts, facts.exact)
    return [text for at, text in _leaks(facts, facts.near).items() if at not in exact]


def _conflicts(facts: Facts, sets: Sequence[Sequence[int]]) -> dict[int, str]:
    """Images whose group carries more than one label, each with its own."""
    found: dict[int, str] = {}
    for group in sets:
        labels = {at: facts.exams[at].entry.label for at in group}
        named = {at: label for at, label in labels.items() if label is not None}
        if len(set(named.values())) > 1:
            found |= {at: f"{facts.name(at)}: {label}" for at, label in named.items()}
    return found


def exact_conflicts(facts: Facts) -> list[str]:
    """Equal images with different labels."""
    return list(_conflicts(facts, facts.exact).values())


def near_conflicts(facts: Facts) -> list[str]:
    """Similar images with different labels; exact conflicts are left out."""
    exact = _conflicts(facts, facts.exact)
    return [text for at, text in _conflicts(facts, facts.near).items() if at not in exact]


def rare_classes(facts: Facts) -> list[str]:
    """Classes far below the most frequent one."""
    most = max(facts.classes.values(), default=0)
    return [f"{name}: {n}" for name, n in facts.classes.items() if n * IMBALANCE < most]


def small_classes(facts: Facts) -> list[str]:
    """Classes of few images."""
    return [f"{name}: {n}" for name, n in facts.classes.items() if n < FEW]


def unlabelled(facts: Facts) -> list[str]:
    """Images without a label where others have one."""
    return where(lambda exam: exam.entry.label is None)(facts) if facts.classes else []


def _has_captions(facts: Facts) -> bool:
    return any(exam.entry.caption is not None for exam in facts.exams)


def missing_captions(facts: Facts) -> list[str]:
    """Images without a caption where others have one."""
    none = where(lambda exam: exam.entry.caption is None)
    return none(facts) if _has_captions(facts) else []


def is_empty(caption: str | None) -> bool:
    """Whether a caption is there and holds nothing."""
    return caption is not None and not caption.strip()


def repeated_captions(facts: Facts) -> list[str]:
    """Captions of several images, when most images share theirs."""
    texts = [(exam.entry.caption or "").strip() for exam in facts.exams]
    often = Counter(text for text in texts if text)
    again = [name for name, n in often.most_common() if n > 1]
    share = sum(often[text] for text in again) / max(often.total(), 1)
    return [f"{often[text]}x {text}" for text in again] if share > MOSTLY else []
