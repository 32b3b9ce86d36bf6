"""Uncertainty of measured numbers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
FOLDS = 20
NORMAL = 1.959964  # 97.5% quantile of the normal law
STUDENT = 2.093024  # and of Student's with FOLDS - 1 degrees of freedom

Numbers = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number, its standard error and its 95% interval."""

    value: float
    error: float
    low: float
    high: float


def estimate(value: float, error: float, wide: float = NORMAL) -> Estimate:
    """The interval ``value`` -+ ``wide`` standard errors."""
    return Estimate(float(value), float(error), float(value - wide * error), value + wide * error)


def bootstrap_mean(values: Numbers, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron & Tibshirani 1993, chapter 13).

    Args:
        values: (n,) numbers, one an image.
        seed: of the resampling.
        level: coverage.

    Returns:
        (low, high); the value itself twice when n is 1.
    """
    generator = np.random.default_rng(seed)
    count = len(values)
    means = [values[generator.integers(0, count, count)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def folds_of(count: int, seed: int) -> NDArray[np.int64]:
    """A fold of 0 to ``FOLDS`` - 1 for each of n points (n,), sizes equal but for one, at random.

    At random, because images often lie sorted by class.
    """
    return np.random.default_rng(seed).permutation(count) % FOLDS


def delete_fold(value: float, without: Numbers) -> Estimate:
    """Delete-a-group jackknife (Kott 2001; Efron & Tibshirani 1993, eq. 11.5).

    v = (G - 1) / G sum_g (t_(g) - mean t)^2.

    Args:
        value: the number of all points.
        without: (G,) the number without each fold.
    """
    folds = len(without)
    spread = ((without - without.mean()) ** 2).sum() * (folds - 1) / folds
    return estimate(value, float(np.sqrt(spread)), STUDENT)


def delete_one_variance(without: Numbers) -> float:
    """Jackknife variance (n - 1) / n sum_i (t_(i) - mean t)^2 (Efron & Tibshirani 1993, 11.5)."""
    count = len(without)
    return float(((without - without.mean()) ** 2).sum() * (count - 1) / count)


def influence_error(influences: Numbers) -> float:
    """Standard error of a smooth number from each point's influence (n,) on it.

    The infinitesimal jackknife: sqrt(sum U_i^2) / n (Efron & Tibshirani 1993, section 21.3).
    """
    return float(influences.std() / np.sqrt(len(influences)))


def wilson(share: float, count: int) -> tuple[float, float]:
    """95% interval of a proportion (Wilson 1927), which keeps its promise near 0 and 1."""
    z = NORMAL
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = share * (1 - share) / count + (z / (2 * count)) ** 2
    half = z / (1 + z * z / count) * float(np.sqrt(spread))
    return max(0.0, centre - half), min(1.0, centre + half)
