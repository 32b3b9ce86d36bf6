"""Pictures larger than the model, scored tile by tile in memory that their height does not change.

A picture is decoded once. Its tiles pass through the model a few at a time, a row of them after the
other; rows of pixels that no further tile touches are done with, so what is held of the maps is as
high as one tile. The scores are one function of the whole picture: of each part the mean of the
hottest places of its merged map, and the mean over all tiles of a part without a map.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.detection.looking import Ground, Look
from mezzotint.detection.maps import peak_count
from mezzotint.detection.parts import Rate, Rated
from mezzotint.detection.tiles import starts, total_weights, weights
from mezzotint.features.extractor import Pixels
from mezzotint.images import to_float

AT_ONCE = 4  # tiles in the model
Strip = dict[str, NDArray[np.float32]]


@dataclass
class Peak:
    """The highest values of a map that comes in strips, and its moments."""

    count: int
    best: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    pixels: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, strip: NDArray[np.float32]) -> None:
        """Take in some rows of the map."""
        flat = strip.ravel()
        self.pixels += flat.size
        self.total += float(flat.sum(dtype=np.float64))
        self.squares += float(np.square(flat, dtype=np.float64).sum())
        if flat.size > self.count:
            flat = np.partition(flat, flat.size - self.count)[-self.count :]
        joined = np.concatenate([self.best, flat])
        self.best = np.sort(joined)[-self.count :]

    @property
    def mean(self) -> float:
        """The mean of the highest values."""
        return float(self.best.mean(dtype=np.float64))


@dataclass(frozen=True)
class Scanned:
    """What is said of one picture.

    Attributes:
        scores: of each part.
        moments: pixels, sum and sum of squares of the map of each part that has one.
    """

    scores: dict[str, float]
    moments: dict[str, tuple[int, float, float]]


def scan(
    rates: Mapping[str, Rate],
    ground: Ground,
    picture: Pixels,
    tile: int,
    heat: Callable[[slice, Strip], None] | None = None,
) -> Scanned:
    """The parts' scores of one picture.

    Args:
        rates: the parts by name, made ready.
        ground: what they stand on.
        picture: uint8 (H, W, C), no side shorter than a tile.
        tile: side of a tile: the model's.
        heat: is told the rows and the merged maps of each strip that is done, from top to bottom.

    Raises:
        ValueError: a side is shorter than a tile.
    """
    height, width = picture.shape[:2]
    peaks: dict[str, Peak] = {}
    plain: dict[str, list[float]] = {}
    merged = Merged(height, width, tile)
    for top in starts(height, tile):
        for found in _row_of_tiles(rates, ground, picture, top, tile):
            for name, (left, score, part) in found:
                if part is None:
                    plain.setdefault(name, []).append(score)
                else:
                    merged.add(name, top, left, part)
        for rows, strip in merged.done(top):
            for name, values in strip.items():
                count = peak_count(height * width)
                peaks.setdefault(name, Peak(count)).add(values)
            if heat is not None and strip:
                heat(rows, strip)
    scores = {name: float(np.mean(values)) for name, values in plain.items()}
    scores |= {name: peak.mean for name, peak in peaks.items()}
    moments = {name: (p.pixels, p.total, p.squares) for name, p in peaks.items()}
    return Scanned({name: scores[name] for name in rates}, moments)


Told = list[tuple[str, tuple[int, float, NDArray[np.float32] | None]]]


@torch.inference_mode()
def _row_of_tiles(
    rates: Mapping[str, Rate], ground: Ground, picture: Pixels, top: int, tile: int
) -> Iterator[Told]:
    """Of a few tiles of one row: each part's name, and where the tile is, its score and its map."""
    lefts = starts(picture.shape[1], tile)
    for at in range(0, len(lefts), AT_ONCE):
        some = lefts[at : at + AT_ONCE]
        tiles = np.stack([picture[top : top + tile, left : left + tile] for left in some])
        look = Look(ground, to_float(tiles))
        told: Told = []
        for name, rate in rates.items():
            rated = rate(look)
            told += [(name, one) for one in zip(some, *_listed(rated), strict=True)]
        yield told


def _listed(rated: Rated) -> tuple[list[float], list[NDArray[np.float32] | None]]:
    scores: Tensor = rated.scores
    if rated.maps is None:
        return scores.tolist(), [None] * len(scores)
    return scores.tolist(), list(rated.maps.float().cpu().numpy())


class Merged:
    """Maps of tiles blended into one a part, held as far as tiles may still touch them.

    Args:
        height, width: of the picture.
        tile: side of a tile.
    """

    def __init__(self, height: int, width: int, tile: int) -> None:
        self.height, self.width, self.tile = height, width, tile
        self.across, self.down = total_weights(width, tile), total_weights(height, tile)
        self.tops = starts(height, tile)
        self.held: Strip = {}

    def add(self, name: str, top: int, left: int, values: NDArray[np.float32]) -> None:
        """Take in a tile's map (tile, tile) of one part; ``top`` never falls."""
        if name not in self.held:
            self.held[name] = np.zeros((self.tile, self.width), dtype=np.float32)
        down = weights(top, self.height, self.tile)[:, None]
        across = weights(left, self.width, self.tile)
        self.held[name][:, left : left + self.tile] += values * down * across

    def done(self, top: int) -> Iterator[tuple[slice, Strip]]:
        """The rows that are final once all tiles from ``top`` on have been taken in."""
        at = self.tops.index(top)
        last = at + 1 == len(self.tops)
        end = self.height if last else self.tops[at + 1]
        rows, count = slice(top, end), end - top
        total = self.down[rows, None] * self.across
        yield rows, {name: held[:count] / total for name, held in self.held.items()}
        for held in self.held.values():
            held[:-count] = held[count:].copy() if count < self.tile else held[:0]
            held[self.tile - count :] = 0
