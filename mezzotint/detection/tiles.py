"""Overlapping squares that cover a picture, and how what is said of them is joined."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]
OVERLAP, MARGIN = 4, 16  # tiles overlap by a quarter; a sixteenth at inner edges is not believed


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin along a side: evenly, overlapping by a quarter of a tile or more.

    Args:
        length: of the side, not less than a tile.
        tile: side of a tile.

    Raises:
        ValueError: the side is shorter than a tile.
    """
    if length < tile:
        raise ValueError(f"a side of {length} is shorter than a tile of {tile}")
    room, stride = length - tile, tile - tile // OVERLAP
    steps = -(-room // stride)
    return [round(room * at / steps) for at in range(steps + 1)] if steps else [0]


def weights(start: int, length: int, tile: int) -> Numbers:
    """How much each place of a tile counts along one axis: (tile,).

    A triangle that begins at the margin, since a network sees zeros beyond a tile's edge where the
    picture goes on; towards an edge that is the picture's own nothing is taken off.

    Args:
        start: where the tile begins.
        length: of the picture's side.
        tile: side of a tile.
    """
    at = np.arange(tile) + 0.5
    margin = tile // MARGIN
    near = at - margin if start > 0 else np.full(tile, np.inf)
    far = tile - at - margin if start + tile < length else np.full(tile, np.inf)
    height = np.minimum(near, far).clip(0, tile)
    return np.asarray(height / tile, dtype=np.float32)


def total_weights(length: int, tile: int) -> Numbers:
    """The sum of all tiles' weights at each place of a side: (length,), nowhere 0."""
    total = np.zeros(length, dtype=np.float32)
    for start in starts(length, tile):
        total[start : start + tile] += weights(start, length, tile)
    return total
