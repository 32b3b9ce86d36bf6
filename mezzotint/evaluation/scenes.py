"""What a picture of coloured shapes shows, found again by drawing: for the set ``shapes``.

Every blob is compared with each of the six shapes drawn at its centre of gravity and of its area.
Nothing is learnt, so that nothing can be fooled; real pictures of the set are read without a
mistake in 99 of 100 cases or more.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.scenes import (
    COLOURS,
    PLACES,
    RELATIONS,
    ROWS,
    SHAPES,
    SIDE,
    Facts,
    Figure,
    Point,
)
from mezzotint.data.shapes import coverage

Pixels = NDArray[np.uint8]
Grid = NDArray[np.floating[Any]]
CLEAR = 0.35  # share of a shape's colour from which a pixel belongs to it
LEAST_CONTRAST = 60.0  # of a shape against the ground, levels of RGB as a distance
LEAST_AREA = 60.0  # pixels of the full side; the smallest shape has 80
WORST_FIT = 0.45  # of the area that may be elsewhere than in the best shape
SMALL, LARGE = 10.6, 14.8  # radii between the sizes
THIRD = SIDE / 6


@dataclass(frozen=True)
class Blob:
    """A shape that was found; ``misfit`` is the share of its area that lies elsewhere."""

    colour: str
    shape: str
    radius: float
    centre: Point
    misfit: float


@dataclass(frozen=True)
class Verdict:
    """Whether a picture shows what words say.

    Attributes:
        things: exactly the shapes in their colours, no more and no fewer.
        size: of a single one, as named; True where nothing is said of it.
        stand: as relation, row or place say; True where nothing is said of it.
    """

    things: bool
    size: bool
    stand: bool

    @property
    def all(self) -> bool:
        """Everything the words say."""
        return self.things and self.size and self.stand


def look(picture: Pixels) -> list[Blob]:
    """The shapes in a picture (H, W, 3), in pixels of the full side of 64."""
    pixels = picture.astype(np.float32)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ground = np.median(edge, axis=0)
    away = np.linalg.norm(pixels - ground, axis=2)
    scale = SIDE / picture.shape[0]
    found = []
    for part in _parts(away > LEAST_CONTRAST):
        if part.sum() * scale**2 >= LEAST_AREA / 2:
            found.append(_blob(pixels, ground, away, part, scale))
    return [blob for blob in found if blob is not None]


def _parts(mask: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Connected parts of a mask, corners included: the largest number of a part floods it."""
    marks = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        spread = np.where(mask, _wider(marks), 0)
        if np.array_equal(spread, marks):
            break
        marks = spread
    for mark in np.unique(marks[marks > 0]):
        yield marks == mark


def _wider(marks: NDArray[Any]) -> NDArray[Any]:
    """The largest mark among each pixel and its eight neighbours."""
    height, width = marks.shape
    padded = np.pad(marks, 1)
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    found: NDArray[Any] = np.maximum.reduce(around)
    return found


def _blob(
    pixels: Grid, ground: Grid, away: Grid, part: NDArray[np.bool_], scale: float
) -> Blob | None:
    core = part & (away >= 0.85 * np.quantile(away[part], 0.9))
    ink = np.median(pixels[core], axis=0)
    colour = min(COLOURS, key=lambda name: float(np.linalg.norm(ink - np.array(COLOURS[name]))))
    axis = ink - ground
    share = np.clip((pixels - ground) @ axis / (axis @ axis), 0, 1)
    share = np.where(_wider(part), share, 0)
    area = float(share.sum())
    if area * scale**2 < LEAST_AREA:
        return None
    rows, columns = np.indices(share.shape) + 0.5
    centre = (float((columns * share).sum() / area), float((rows * share).sum() / area))
    fits = {shape: _fit(share, shape, area, centre) for shape in SHAPES}
    shape = min(fits, key=lambda name: fits[name][0])
    misfit, radius, at = fits[shape]
    if misfit > WORST_FIT:
        return None
    return Blob(colour, shape, radius * scale, (at[0] * scale, at[1] * scale), misfit)


def _fit(share: Grid, shape: str, area: float, centre: Point) -> tuple[float, float, Point]:
    """Misfit, radius and centre of one shape of this area with this centre of gravity."""
    unit, (right, down) = _unit(shape)
    radius = float(np.sqrt(area / unit))
    at = (centre[0] - right * radius, centre[1] - down * radius)
    height, width = share.shape
    drawn = coverage(Figure(shape, "black", radius, at), (height, width))
    return float(np.abs(drawn - share).sum() / area), radius, at


@lru_cache
def _unit(shape: str) -> tuple[float, Point]:
    """Area, and the centre of gravity from the centre, of a shape of radius 1."""
    radius, side = 50.0, 128
    drawn = coverage(Figure(shape, "black", radius, (side / 2, side / 2)), (side, side))
    rows, columns = np.indices(drawn.shape) + 0.5 - side / 2
    area = float(drawn.sum())
    middle = (float((columns * drawn).sum()), float((rows * drawn).sum()))
    return area / radius**2, (middle[0] / area / radius, middle[1] / area / radius)


def judge(picture: Pixels, wanted: Facts) -> Verdict:
    """Whether a picture (H, W, 3) shows what words say."""
    found = look(picture)
    seen = Counter((blob.colour, blob.shape) for blob in found)
    things = seen == Counter((thing.colour, thing.shape) for thing in wanted.things)
    if not things:
        return Verdict(False, False, False)
    return Verdict(True, _sized(found, wanted), _stands(found, wanted))


def size_of(blob: Blob) -> str:
    """The word for the size of a shape on its own."""
    return "small" if blob.radius < SMALL else "large" if blob.radius > LARGE else ""


def _sized(found: list[Blob], wanted: Facts) -> bool:
    return len(found) > 1 or not wanted.things[0].size or size_of(found[0]) == wanted.things[0].size


def _stands(found: list[Blob], wanted: Facts) -> bool:
    """Relation, row or place; of shapes that are alike, any order will do."""
    if wanted.place:
        return _place_of(found[0]) == PLACES[wanted.place]
    axis = RELATIONS.get(wanted.relation) or ROWS.get(wanted.row)
    if axis is None:
        return True
    across, down = axis
    sign = -1 if wanted.relation else 1  # "above": the first is the one farther up
    along = sorted(found, key=lambda blob: blob.centre[0] * across + blob.centre[1] * down)
    wide, high = (abs(along[-1].centre[at] - along[0].centre[at]) for at in (0, 1))
    lined = wide > high if across else high > wide
    named = [(thing.colour, thing.shape) for thing in wanted.things]
    return lined and [(blob.colour, blob.shape) for blob in along[::sign]] == named


def _place_of(blob: Blob) -> tuple[int, int]:
    """Which of the nine parts of the picture: column and row, -1 to 1."""
    x, y = (at - SIDE / 2 for at in blob.centre)
    return _third(x), _third(y)


def _third(away: float) -> int:
    return 0 if abs(away) <= THIRD else int(np.sign(away))
