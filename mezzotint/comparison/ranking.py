"""Who is better by a number, said only where the intervals allow it."""

from collections.abc import Mapping
from dataclasses import dataclass

from mezzotint.comparison.measures import Direction
from mezzotint.evaluation import Value


@dataclass(frozen=True)
class Rank:
    """What one number says about several models.

    Attributes:
        best: the one whose interval is apart from every other one's; empty where there is none.
        tied: where there is no best, the front-runner and all that are not told apart from it.
        why: why nothing was ranked; empty where something was.
    """

    best: str = ""
    tied: tuple[str, ...] = ()
    why: str = ""

    def of(self, name: str) -> str:
        """``best``, ``not told apart``, ``behind``, or nothing where nothing was ranked."""
        if self.why:
            return ""
        if name == self.best:
            return "best"
        return "not told apart" if name in self.tied else "behind"


def overlap(one: Value, two: Value) -> bool:
    """Whether two intervals share a point; a number without one is taken for a point."""
    (low, high), (bottom, top) = _ends(one), _ends(two)
    return low <= top and bottom <= high


def _ends(value: Value) -> tuple[float, float]:
    low = value.value if value.low is None else value.low
    return low, value.value if value.high is None else value.high


def rank(values: Mapping[str, Value], better: Direction) -> Rank:
    """Compare models by one number.

    Two that are told apart from the best need not be told apart from each other, so there is no
    order beyond best, not told apart from the best, and behind.

    Args:
        values: model -> its number.
        better: which way is better; empty ranks nothing.
    """
    if not better:
        return Rank(why="neither more nor less is better")
    measured = {name: value for name, value in values.items() if value.low is not None}
    if len(measured) < 2:
        return Rank(why="fewer than two models have it")
    sign = -1 if better == "higher" else 1
    first = min(measured, key=lambda name: sign * measured[name].value)
    near = [name for name in measured if overlap(measured[name], measured[first])]
    return Rank(best=first) if near == [first] else Rank(tied=tuple(near))
