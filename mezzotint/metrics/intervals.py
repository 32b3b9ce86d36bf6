"""Uncertainty of measured numbers."""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000


def bootstrap_mean(
    values: NDArray[np.float64], seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
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
