"""Captioned pictures of coloured shapes, drawn when they are read: image i depends on i alone."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from mezzotint.data.entry import Entry, Skip, Split
from mezzotint.data.scenes import COLOURS, SHAPES, SIDE, VERSION, Figure, Point, is_held_out, scene
from mezzotint.data.survey import Survey, uniform_survey

COUNT = 8000
Ink = tuple[int, int, int] | int
FINE = 4  # drawn so many times larger, then averaged: antialiasing


def draw_scene(index: int) -> np.ndarray:
    """Picture ``index`` as uint8 (64, 64, 3): shapes on a light ground."""
    rng = np.random.default_rng([VERSION, index, 1])
    ground = tuple(int(level) for level in rng.integers(225, 256, 3))
    canvas = Image.new("RGB", (SIDE * FINE, SIDE * FINE), ground)
    pen = ImageDraw.Draw(canvas)
    for figure in scene(index).figures:
        _DRAW[figure.shape](pen, figure, COLOURS[figure.colour])
    return np.array(canvas.reduce(FINE))


def coverage(figure: Figure, size: tuple[int, int]) -> np.ndarray:
    """Share of each pixel that a shape covers: float (height, width) in [0, 1].

    Args:
        figure: centre and radius in pixels of the picture.
        size: height and width of the picture.
    """
    canvas = Image.new("L", (size[1] * FINE, size[0] * FINE), 0)
    _DRAW[figure.shape](ImageDraw.Draw(canvas), figure, 255)
    return np.asarray(canvas.reduce(FINE), np.float32) / 255


def _circle(pen: ImageDraw.ImageDraw, figure: Figure, ink: Ink) -> None:
    pen.ellipse(_box(figure, figure.radius), fill=ink)


def _ring(pen: ImageDraw.ImageDraw, figure: Figure, ink: Ink) -> None:
    width = round(figure.radius * FINE * 0.4)
    pen.ellipse(_box(figure, figure.radius), outline=ink, width=width)


def _square(pen: ImageDraw.ImageDraw, figure: Figure, ink: Ink) -> None:
    pen.rectangle(_box(figure, figure.radius * 0.86), fill=ink)


def _cross(pen: ImageDraw.ImageDraw, figure: Figure, ink: Ink) -> None:
    long, short = figure.radius * 0.95, figure.radius * 0.32
    for half in ((long, short), (short, long)):
        pen.rectangle(_box(figure, *half), fill=ink)


def _triangle(pen: ImageDraw.ImageDraw, figure: Figure, ink: Ink) -> None:
    pen.polygon(_corners(figure, [figure.radius] * 3), fill=ink)


def _star(pen: ImageDraw.ImageDraw, figure: Figure, ink: Ink) -> None:
    reach = [figure.radius, figure.radius * 0.42] * 5
    pen.polygon(_corners(figure, reach), fill=ink)


_DRAW: Mapping[str, Callable[[ImageDraw.ImageDraw, Figure, Ink], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}


def _box(figure: Figure, wide: float, high: float | None = None) -> list[float]:
    x, y = figure.centre
    high = wide if high is None else high
    return [value * FINE for value in (x - wide, y - high, x + wide, y + high)]


def _corners(figure: Figure, reach: Sequence[float]) -> list[Point]:
    """Points around the centre at the given distances, evenly turned, the first one on top."""
    x, y = figure.centre
    turns = [2 * pi * at / len(reach) for at in range(len(reach))]
    pairs = zip(reach, turns, strict=True)
    return [((x + far * sin(turn)) * FINE, (y - far * cos(turn)) * FINE) for far, turn in pairs]


def _entry(index: int) -> Entry:
    """Made-up name, class and caption of a picture."""
    shown = scene(index)
    side: Split = "held_out" if is_held_out(index) else "train"
    return Entry(f"{index:05d}", shown.figures[0].shape, shown.caption, side)


@dataclass(eq=False)
class ShapesSource:
    """Pictures ``indices`` of the endless set of shapes; the class is the first shape's name."""

    indices: Sequence[int]
    spec: str = "shapes"
    skipped: Sequence[Skip] = ()
    stamp: str = ""
    classes: tuple[str, ...] = SHAPES
    parallel: bool = True
    entries: Sequence[Entry] = field(init=False)

    def __post_init__(self) -> None:
        self.entries = [_entry(index) for index in self.indices]

    def read(self, index: int) -> np.ndarray:
        """Pixels of one picture as uint8 (64, 64, 3)."""
        return draw_scene(self.indices[index])

    def part(self, rows: Sequence[int]) -> "ShapesSource":
        """The pictures at ``rows`` alone."""
        return ShapesSource([self.indices[row] for row in rows], self.spec)

    def survey(self) -> Survey:
        """What the store must know, without drawing anything."""
        name = f"shapes {VERSION} {list(self.indices)}"
        content = hashlib.sha256(name.encode()).hexdigest()
        return uniform_survey(content, len(self.indices), (SIDE, SIDE), 3)


def open_shapes(spec: str = "shapes") -> ShapesSource:
    """8,000 captioned pictures of one to three coloured shapes, 64x64 RGB."""
    return ShapesSource(range(COUNT), spec)
