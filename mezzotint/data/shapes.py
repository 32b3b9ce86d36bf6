"""Captioned pictures of coloured shapes, drawn when they are read: image i depends on i alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from mezzotint.data.entry import Entry, Skip
from mezzotint.data.survey import Survey, uniform_survey

VERSION = 1
COUNT = 4000
SIDE, FINE = 64, 4  # drawn FINE times larger, then averaged: antialiasing
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLOURS = {
    "red": (214, 39, 40),
    "orange": (245, 130, 20),
    "yellow": (240, 205, 30),
    "green": (44, 160, 64),
    "blue": (40, 90, 200),
    "purple": (140, 60, 180),
    "black": (25, 25, 25),
}
RADII = {"small": 8.0, "": 12.0, "large": 17.0}  # of a shape on its own, in pixels
RELATIONS = {"above": (0, -1), "below": (0, 1), "left of": (-1, 0), "right of": (1, 0)}
Point = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """One shape: what it is and where, in pixels."""

    shape: str
    colour: str
    radius: float
    centre: Point


@dataclass(frozen=True)
class Scene:
    """What one picture shows, and the words for it."""

    figures: tuple[Figure, ...]
    caption: str


def scene(index: int) -> Scene:
    """The scene of picture ``index``: one shape of some size, or two in a stated relation."""
    rng = np.random.default_rng([VERSION, index])
    return _pair(rng) if rng.random() < 0.5 else _single(rng)


def _single(rng: np.random.Generator) -> Scene:
    shape, colour = _pick(rng, SHAPES), _pick(rng, tuple(COLOURS))
    size = _pick(rng, tuple(RADII))
    margin = RADII[size] + 3
    centre = rng.uniform(margin, SIDE - margin, 2)
    figure = Figure(shape, colour, RADII[size], (centre[0], centre[1]))
    return Scene((figure,), with_article(f"{size} {colour} {shape}".strip()))


def _pair(rng: np.random.Generator) -> Scene:
    shapes = [_pick(rng, SHAPES) for _ in range(2)]
    colours = [_pick(rng, tuple(COLOURS)) for _ in range(2)]
    relation = _pick(rng, tuple(RELATIONS))
    across, down = RELATIONS[relation]
    gap = rng.uniform(13.5, 16.0)
    middle = SIDE / 2 + rng.uniform(-3, 3, 2)
    centres = [(middle[0] + sign * gap * across, middle[1] + sign * gap * down) for sign in (1, -1)]
    figures = tuple(map(Figure, shapes, colours, rng.uniform(8.5, 11.5, 2), centres))
    first, second = (f"{colour} {shape}" for colour, shape in zip(colours, shapes, strict=True))
    return Scene(figures, f"{with_article(first)} {relation} {with_article(second)}")


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def with_article(words: str) -> str:
    """The words after ``a`` or ``an``."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def draw_scene(index: int) -> np.ndarray:
    """Picture ``index`` as uint8 (64, 64, 3): shapes on a light ground."""
    rng = np.random.default_rng([VERSION, index, 1])
    ground = tuple(int(level) for level in rng.integers(225, 256, 3))
    canvas = Image.new("RGB", (SIDE * FINE, SIDE * FINE), ground)
    pen = ImageDraw.Draw(canvas)
    for figure in scene(index).figures:
        _DRAW[figure.shape](pen, figure)
    return np.array(canvas.reduce(FINE))


def _circle(pen: ImageDraw.ImageDraw, figure: Figure) -> None:
    pen.ellipse(_box(figure, figure.radius), fill=COLOURS[figure.colour])


def _ring(pen: ImageDraw.ImageDraw, figure: Figure) -> None:
    width = round(figure.radius * FINE * 0.4)
    pen.ellipse(_box(figure, figure.radius), outline=COLOURS[figure.colour], width=width)


def _square(pen: ImageDraw.ImageDraw, figure: Figure) -> None:
    pen.rectangle(_box(figure, figure.radius * 0.86), fill=COLOURS[figure.colour])


def _cross(pen: ImageDraw.ImageDraw, figure: Figure) -> None:
    long, short = figure.radius * 0.95, figure.radius * 0.32
    for half in ((long, short), (short, long)):
        pen.rectangle(_box(figure, *half), fill=COLOURS[figure.colour])


def _triangle(pen: ImageDraw.ImageDraw, figure: Figure) -> None:
    pen.polygon(_corners(figure, [figure.radius] * 3), fill=COLOURS[figure.colour])


def _star(pen: ImageDraw.ImageDraw, figure: Figure) -> None:
    reach = [figure.radius, figure.radius * 0.42] * 5
    pen.polygon(_corners(figure, reach), fill=COLOURS[figure.colour])


_DRAW = {
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
    return Entry(f"{index:05d}", shown.figures[0].shape, shown.caption)


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
    """4,000 captioned pictures of one or two coloured shapes, 64x64 RGB."""
    return ShapesSource(range(COUNT), spec)
