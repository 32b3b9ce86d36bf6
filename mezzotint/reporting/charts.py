"""Curves with intervals as coordinates; the page's template draws them as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mezzotint.comparison.trials import Point
from mezzotint.reporting.numbers import short

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 12, 46
MARKERS = (
    "M-4-4h8v8h-8z",
    "M0-5l5 9h-10z",
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
    "M0-6l6 6l-6 6l-6-6z",
    "M0 5l5-9h-10z",
    "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
)
MOST_TICKS = 6
DENSE, SHRUNK = 12, 0.55  # dots of a line above which markers are drawn at this scale
REFERENCE = len(MARKERS)  # the colour of real images, which no model has


@dataclass(frozen=True)
class Stroke:
    """How a line looks: the number of its colour and marker, and whether it is broken."""

    colour: int
    broken: bool = False

    @property
    def marker(self) -> str:
        """Path of its marker around 0, 0."""
        return MARKERS[self.colour % len(MARKERS)]


def strokes(order: Sequence[str]) -> dict[str, Stroke]:
    """The stroke of each model of a page."""
    return {name: Stroke(at % len(MARKERS)) for at, name in enumerate(order)}


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis: values between ``low`` and ``high`` on pixels ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value; beyond the ends, the end."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Dot:
    """A point of a line: its pixels, those of its interval's ends, and what it says."""

    x: float
    y: float
    low: float
    high: float
    says: str


@dataclass(frozen=True)
class Line:
    """One model's course.

    Attributes:
        name: of the model.
        colour: number of its colour and marker, the same in every chart of a page.
        marker: path of its marker around 0, 0.
        dots: from left to right.
        broken: whether it is drawn as dashes.
    """

    name: str
    colour: int
    marker: str
    dots: Sequence[Dot]
    broken: bool = False

    @property
    def path(self) -> str:
        """The polyline through its dots."""
        return " ".join(f"{dot.x},{dot.y}" for dot in self.dots)

    @property
    def scale(self) -> float:
        """Of its markers."""
        return SHRUNK if len(self.dots) > DENSE else 1.0


@dataclass(frozen=True)
class Chart:
    """A drawn set of lines; pixels within ``WIDTH`` x ``HEIGHT``.

    Attributes:
        across, up: what the axes show.
        across_ticks, up_ticks: (pixel, text) along them.
        lines: one a model.
    """

    across: str
    up: str
    across_ticks: Sequence[tuple[float, str]]
    up_ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def chart(
    courses: Mapping[str, Sequence[Point]], looks: Mapping[str, Stroke], across: str, up: str
) -> Chart | None:
    """Several courses on logarithmic axes.

    Args:
        courses: model, or what a line is of -> its points.
        looks: how each is drawn.
        across, up: what the axes show.

    Returns:
        None where there is no point above zero to draw.
    """
    kept = {name: [p for p in ps if p.at > 0 and p.value.value > 0] for name, ps in courses.items()}
    points = [point for each in kept.values() for point in each]
    if not points:
        return None
    x = _scale([point.at for point in points], LEFT + 8, WIDTH - RIGHT - 8)
    y = _scale([end for point in points for end in _ends(point)], HEIGHT - BOTTOM, TOP + 4)
    lines = [
        Line(
            name,
            looks[name].colour,
            looks[name].marker,
            [_dot(point, x, y, across, up) for point in sorted(each, key=lambda p: p.at)],
            looks[name].broken,
        )
        for name, each in kept.items()
        if each
    ]
    return Chart(across, up, _placed(x), _placed(y), lines)


def _ends(point: Point) -> list[float]:
    """The value and the ends of its interval that can stand on a logarithmic axis."""
    value = point.value
    ends = [end for end in (value.low, value.high) if end is not None]
    return [value.value, *(end for end in ends if end > value.value / 10)]


def _dot(point: Point, x: Scale, y: Scale, across: str, up: str) -> Dot:
    value = point.value
    low = value.value if value.low is None else max(value.low, y.low)
    high = value.value if value.high is None else value.high
    interval = "" if value.low is None else f" ({short(value.low)} to {short(value.high)})"
    says = f"{across} {short(point.at)}: {up} {short(value.value)}{interval}"
    says = f"{says}; {point.note}" if point.note else says
    return Dot(x.at(point.at), y.at(value.value), y.at(low), y.at(high), says)


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = min(values), max(values)
    if high < low * 1.5:  # a range of its own, so that equal values stand in the middle
        low, high = low / 1.25, high * 1.25
    return Scale(low, high, start, end)


def _placed(scale: Scale) -> list[tuple[float, str]]:
    return [(scale.at(tick), short(tick)) for tick in ticks(scale.low, scale.high)]


def ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range above zero: the finest of five grids with few enough."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in (range(1, 10), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in decades for digit in digits]
        inside = [tick for tick in found if low <= tick <= high]
        if len(inside) <= MOST_TICKS:
            return inside
    step = -(-len(inside) // MOST_TICKS)
    return inside[::step]
