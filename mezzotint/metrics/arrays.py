"""What every metric needs: checked points, and distances between them a few rows at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
CHUNK = 256  # rows of a distance table held at once
ROUNDING = 1e-13  # of a squared distance, relative to the squared lengths it is the difference of


def points(features: ArrayLike, least: int = 1) -> Points:
    """Feature vectors (N, d) in float64.

    Args:
        features: numbers (N, d), of any kind.
        least: vectors that there must be.

    Raises:
        ValueError: another number of axes, too few vectors, or a value that is not finite.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < least or not rows.shape[1]:
        raise ValueError(f"want at least {least} vectors (N, d), got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("the features hold values that are not finite")
    return rows


def both(first: ArrayLike, second: ArrayLike, least: int = 1) -> tuple[Points, Points]:
    """Two sets of feature vectors of one length.

    Raises:
        ValueError: as :func:`points`, or the lengths of the vectors differ.
    """
    one, two = points(first, least), points(second, least)
    if one.shape[1] != two.shape[1]:
        raise ValueError(f"vectors of {one.shape[1]} and of {two.shape[1]} numbers")
    return one, two


def pair(first: ArrayLike, second: ArrayLike, least: int = 1) -> tuple[Points, Points]:
    """Two sets of feature vectors of one length, moved to a common centre.

    Distances do not change, and those between near points far from the origin keep their digits.

    Raises:
        ValueError: as :func:`both`.
    """
    one, two = both(first, second, least)
    centre = one.mean(0)
    return one - centre, two - centre


def squared_distances(first: Points, second: Points) -> Points:
    """|x - y|^2 = |x|^2 + |y|^2 - 2 x.y of all pairs: (N, M), never below 0.

    What cancellation leaves of the distance between equal points is 0 again.
    """
    lengths = (first * first).sum(1)[:, None], (second * second).sum(1)
    table = first @ second.T
    table *= -2
    table += lengths[0]
    table += lengths[1]
    table[table < ROUNDING * (lengths[0].max() + lengths[1].max())] = 0
    return table


def distance_rows(first: Points, second: Points) -> Iterator[tuple[slice, Points]]:
    """Squared distances as (rows of ``first``, table (rows, M)), ``CHUNK`` rows at a time."""
    for start in range(0, len(first), CHUNK):
        part = slice(start, min(start + CHUNK, len(first)))
        yield part, squared_distances(first[part], second)


def distance_rows_within(rows: Points) -> Iterator[tuple[slice, Points]]:
    """As :func:`distance_rows` of a set with itself; a point is infinitely far from itself."""
    for part, table in distance_rows(rows, rows):
        table[np.arange(len(table)), np.arange(part.start, part.stop)] = np.inf
        yield part, table


def nearest(first: ArrayLike, second: ArrayLike) -> Points:
    """Distance of each point of ``first`` to the nearest of ``second``: (N,).

    Raises:
        ValueError: as :func:`pair`.
    """
    return _roots([table.min(1) for _, table in distance_rows(*pair(first, second))])


def nearest_within(features: ArrayLike) -> Points:
    """Distance of each point to the nearest other one: (N,).

    Raises:
        ValueError: as :func:`points`, of two at least.
    """
    rows = points(features, 2)
    rows = rows - rows.mean(0)
    return _roots([table.min(1) for _, table in distance_rows_within(rows)])


def _roots(parts: list[Points]) -> Points:
    return np.asarray(np.sqrt(np.concatenate(parts)))
