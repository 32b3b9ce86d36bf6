"""Fidelity and diversity by nearest neighbours in feature space (1904.06991; 2002.09797)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mezzotint.metrics.arrays import Points, distance_rows, distance_rows_within, pair, points
from mezzotint.metrics.intervals import FOLDS, Estimate, delete_fold, folds_of, wilson

SPARE = 4  # neighbours kept for each of k, so that k are left when a fold is taken away
NONE = -1  # the fold that takes nothing away
Folds = NDArray[np.int64]


class Prdc(NamedTuple):
    """Shares of 0 to 1; density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


class PrdcEstimate(NamedTuple):
    """As :class:`Prdc`, each with its interval."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def radii(features: ArrayLike, k: int) -> Points:
    """Distance of each point (N, d) to its k-th nearest other point: (N,).

    Raises:
        ValueError: there are not more than k points.
    """
    rows = points(features, k + 1)
    together = np.zeros(len(rows), np.int64)
    return np.sqrt(_squared_radii(rows - rows.mean(0), k, together, [NONE])[:, 0])


def prdc(real: ArrayLike, made: ArrayLike, k: int = 5) -> Prdc:
    """Precision, recall, density and coverage of made points against real ones.

    Args:
        real: (N, d) features of images.
        made: (M, d) features of samples; take N = M, the values depend on both.
        k: neighbours that make up a point's ball; 5 in 2002.09797, 3 in 1904.06991.

    Raises:
        ValueError: the features have no such form, or there are not more than k of each.
    """
    one, two = pair(real, made, k + 1)
    together = np.zeros(len(one), np.int64), np.zeros(len(two), np.int64)
    return Prdc(*_shares(one, two, k, together, [NONE])[0].tolist())


def prdc_estimate(real: ArrayLike, made: ArrayLike, k: int = 5, seed: int = 0) -> PrdcEstimate:
    """:func:`prdc` with intervals by leaving out a twentieth of both sets at a time.

    A bootstrap would not do: a point drawn twice is its own nearest neighbour. Near 0 and 1, where
    no fold makes a difference, a share's interval is Wilson's for as many independent images.

    Raises:
        ValueError: as :func:`prdc`.
    """
    one, two = pair(real, made, k + 1)
    folds = folds_of(len(one), seed), folds_of(len(two), seed + 1)
    table = _shares(one, two, k, folds, [NONE, *range(FOLDS)])
    precise, recalled, dense, covered = (delete_fold(col[0], col[1:]) for col in table.T)
    return PrdcEstimate(
        precision=_bounded(precise, len(two)),
        recall=_bounded(recalled, len(one)),
        density=dense._replace(low=max(dense.low, 0.0)),
        coverage=_bounded(covered, len(one)),
    )


def _bounded(share: Estimate, count: int) -> Estimate:
    """Within 0 and 1, and no narrower than for ``count`` independent images."""
    low, high = wilson(share.value, count)
    return share._replace(low=max(0.0, min(share.low, low)), high=min(1.0, max(share.high, high)))


def _squared_radii(rows: Points, k: int, owners: Folds, folds: list[int]) -> Points:
    """Squared distance to the k-th nearest point that is not of a fold: (N, folds)."""
    kept = min(len(rows) - 1, SPARE * k)
    parts = []
    for _, table in distance_rows_within(rows):
        near = np.argpartition(table, kept - 1, axis=1)[:, :kept]
        near = np.take_along_axis(near, np.take_along_axis(table, near, 1).argsort(1), 1)
        far = np.take_along_axis(table, near, 1)
        places = [_place(owners[near] != fold, k) for fold in folds]
        parts.append(np.take_along_axis(far, np.stack(places, 1), 1))
    return np.concatenate(parts)


def _place(stays: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """Where in each row the k-th True is; the last place where there are fewer."""
    ranks = stays.cumsum(1)
    return np.asarray(np.where(ranks[:, -1] >= k, (ranks >= k).argmax(1), stays.shape[1] - 1))


def _shares(
    real: Points, made: Points, k: int, owners: tuple[Folds, Folds], folds: list[int]
) -> Points:
    """Precision, recall, density, coverage (folds, 4) of what is left without each fold."""
    stays = [np.stack([own != fold for fold in folds], 1) for own in owners]
    real_balls = np.where(stays[0], _squared_radii(real, k, owners[0], folds), -1)
    made_balls = np.where(stays[1], _squared_radii(made, k, owners[1], folds), -1)
    inside = np.zeros((len(folds), len(made)))
    covered, recalled = np.zeros(len(folds)), np.zeros(len(folds))
    for part, table in distance_rows(real, made):
        for at in range(len(folds)):
            within = (table <= real_balls[part, at, None]) & stays[1][:, at]
            inside[at] += within.sum(0)
            covered[at] += within.any(1).sum()
            recalled[at] += ((table <= made_balls[:, at]).any(1) & stays[0][part, at]).sum()
    reals, mades = stays[0].sum(0), stays[1].sum(0)
    precise = (inside > 0).sum(1) / mades
    return np.stack([precise, recalled / reals, inside.sum(1) / (k * mades), covered / reals], 1)
