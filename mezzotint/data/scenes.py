"""What pictures of coloured shapes show, and the words for it: one grammar, written and read.

Eight of the 48 pairs of colour and shape stand on the held-out side alone: one of each colour. A
model that draws them has put together what it never saw together.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

VERSION = 2
SIDE = 64
EVERY = 10  # one picture in so many is held out
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLOURS = {
    "red": (214, 39, 40),
    "orange": (245, 130, 20),
    "yellow": (240, 205, 30),
    "green": (44, 160, 64),
    "blue": (40, 90, 200),
    "purple": (140, 60, 180),
    "pink": (240, 140, 190),
    "black": (25, 25, 25),
}
SIZES = ("small", "large")
RADII = {"small": 9.0, "": 12.5, "large": 17.5}  # of a shape on its own, in pixels
PAIR_RADII = {"small": (7.5, 8.5), "": (9.0, 11.5), "large": (12.0, 13.0)}
ROW_RADII, STEP = (7.5, 8.5), 20.0
RELATIONS = {"above": (0, -1), "below": (0, 1), "left of": (-1, 0), "right of": (1, 0)}
ROWS = {"from left to right": (1, 0), "from top to bottom": (0, 1)}
PLACES = {
    f"{'at' if row or column else 'in'} the {words}": (column, row)
    for row, column, words in (
        (-1, -1, "top left"),
        (-1, 0, "top"),
        (-1, 1, "top right"),
        (0, -1, "left"),
        (0, 0, "middle"),
        (0, 1, "right"),
        (1, -1, "bottom left"),
        (1, 0, "bottom"),
        (1, 1, "bottom right"),
    )
}
Point = tuple[float, float]


class Thing(NamedTuple):
    """A shape as words have it; ``size`` is empty where nothing is said of it."""

    colour: str
    shape: str
    size: str = ""


class Facts(NamedTuple):
    """What words say.

    Attributes:
        things: in the order of the relation or row.
        relation: of the first to the second, a key of ``RELATIONS``, or empty.
        row: how three stand, a key of ``ROWS``, or empty.
        place: of one, a key of ``PLACES``, or empty.
    """

    things: tuple[Thing, ...]
    relation: str = ""
    row: str = ""
    place: str = ""


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
    facts: Facts


def held_out_pairs() -> frozenset[tuple[str, str]]:
    """The pairs of colour and shape that no training picture shows: one of each colour."""
    count = len(SHAPES)
    shifted = ((at + count // 2 * (at // count)) % count for at in range(len(COLOURS)))
    return frozenset(zip(COLOURS, (SHAPES[at] for at in shifted), strict=True))


HELD_OUT = held_out_pairs()
SEEN = tuple(
    (colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in HELD_OUT
)


def is_held_out(index: int) -> bool:
    """Whether picture ``index`` shows a pair of colour and shape that is held out."""
    return index % EVERY == EVERY - 1


def scene(index: int) -> Scene:
    """The scene of picture ``index``: one shape, two in a stated relation, or three in a row."""
    rng = np.random.default_rng([VERSION, index])
    count = 1 + int(rng.choice(3, p=(0.45, 0.4, 0.15)))
    pairs = [_pick(rng, SEEN) for _ in range(count)]
    if is_held_out(index):
        pairs[int(rng.integers(count))] = _pick(rng, sorted(HELD_OUT))
    return _KINDS[count - 1](rng, pairs)


Pairs = Sequence[tuple[str, str]]


def _single(rng: np.random.Generator, pairs: Pairs) -> Scene:
    size = _pick(rng, ("", *SIZES))
    thing = Thing(*pairs[0], size)
    placed = rng.random() < 0.3
    place = _pick(rng, tuple(PLACES)) if placed else ""
    figure = Figure(thing.shape, thing.colour, RADII[size], _centre(rng, RADII[size], place))
    facts = Facts((thing,), place=place)
    text = f"{article(words(thing))} {place}" if placed else _pick(rng, SINGLE_FORMS)(thing)
    return Scene((figure,), text, facts)


def _centre(rng: np.random.Generator, radius: float, place: str) -> Point:
    """A centre inside the picture; in one of its nine parts where the words name it."""
    room = SIDE / 2 - radius - 2
    if not place:
        return (SIDE / 2 + rng.uniform(-room, room), SIDE / 2 + rng.uniform(-room, room))
    near = min(room, 13.0)
    x, y = (
        SIDE / 2 + side * rng.uniform(near, room) + (not side) * rng.uniform(-4, 4)
        for side in PLACES[place]
    )
    return (x, y)


def _double(rng: np.random.Generator, pairs: Pairs) -> Scene:
    sized = rng.random() < 0.25
    things = [Thing(*pair, _pick(rng, SIZES) if sized else "") for pair in pairs]
    relation = _pick(rng, tuple(RELATIONS))
    across, down = RELATIONS[relation]
    gap, middle = rng.uniform(13.5, 16.0), SIDE / 2 + rng.uniform(-2.5, 2.5, 2)
    figures = tuple(
        Figure(
            thing.shape,
            thing.colour,
            rng.uniform(*PAIR_RADII[thing.size]),
            (middle[0] + sign * gap * across, middle[1] + sign * gap * down),
        )
        for thing, sign in zip(things, (1, -1), strict=True)
    )
    first, second = (article(words(thing)) for thing in things)
    text = _pick(rng, DOUBLE_FORMS)(first, second, relation)
    return Scene(figures, text, Facts(tuple(things), relation))


def _triple(rng: np.random.Generator, pairs: Pairs) -> Scene:
    things = tuple(Thing(*pair) for pair in pairs)
    row = _pick(rng, tuple(ROWS))
    across, down = ROWS[row]
    middle = SIDE / 2 + rng.uniform(-1.0, 1.0, 2) + rng.uniform(-8, 8) * np.array([down, across])
    figures = tuple(
        Figure(
            thing.shape,
            thing.colour,
            rng.uniform(*ROW_RADII),
            (middle[0] + STEP * at * across, middle[1] + STEP * at * down),
        )
        for thing, at in zip(things, (-1, 0, 1), strict=True)
    )
    first, second, third = (article(words(thing)) for thing in things)
    start = _pick(rng, ("", "there are "))
    return Scene(figures, f"{start}{first}, {second} and {third} {row}", Facts(things, row=row))


_KINDS: tuple[Callable[[np.random.Generator, Pairs], Scene], ...] = (_single, _double, _triple)


def words(thing: Thing) -> str:
    """``small red circle``."""
    return f"{thing.size} {thing.colour} {thing.shape}".strip()


def article(text: str) -> str:
    """The words after ``a`` or ``an``."""
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


SINGLE_FORMS: tuple[Callable[[Thing], str], ...] = (
    lambda thing: article(words(thing)),
    lambda thing: f"there is {article(words(thing))}",
    lambda thing: f"a picture of {article(words(thing))}",
    lambda thing: f"{article(f'{thing.size} {thing.shape}'.strip())} that is {thing.colour}",
)
DOUBLE_FORMS: tuple[Callable[[str, str, str], str], ...] = (
    lambda first, second, relation: f"{first} {relation} {second}",
    lambda first, second, relation: f"there is {first} {relation} {second}",
    lambda first, second, relation: f"{relation} {second} is {first}",
)


Choice = TypeVar("Choice")


def _pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _any(names: Iterable[str]) -> str:
    return "|".join(sorted(names, key=len, reverse=True))


_THING = re.compile(
    rf"\b(?:({_any(SIZES)}) )?(?:({_any(COLOURS)}) ({_any(SHAPES)})"
    rf"|({_any(SHAPES)}) that is ({_any(COLOURS)}))\b"
)
_RELATION = re.compile(rf"\b({_any(RELATIONS)})\b")
_ROW = re.compile(rf"\b({_any(ROWS)})\b")
_PLACE = re.compile(rf"\b({_any(PLACES)})$")


def read(caption: str) -> Facts | None:
    """What a caption of this grammar says; None where it names no shape."""
    text = " ".join(caption.lower().split())
    found = [_thing(match) for match in _THING.finditer(text)]
    if not found:
        return None
    relation, row, place = (rule.search(text) for rule in (_RELATION, _ROW, _PLACE))
    things = found[::-1] if relation is not None and relation.start() == 0 else found
    named = (match[1] if match else "" for match in (relation, row, place))
    return Facts(tuple(things), *named)


def _thing(match: re.Match[str]) -> Thing:
    size, colour, shape, other_shape, other_colour = (text or "" for text in match.groups())
    return Thing(colour or other_colour, shape or other_shape, size)
