"""Thresholds and p-values that hold for any distribution of scores, from held-out good ones.

They rest on one assumption: a new good image and the held-out ones could change places. Higher
scores are worse.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


def least_rate(count: int) -> float:
    """The lowest false-alarm rate that ``count`` held-out scores can promise: 1 / (n + 1)."""
    return 1 / (count + 1)


def fewest_scores(rate: float) -> int:
    """Held-out scores that it takes to promise a false-alarm rate: 1 / alpha - 1, rounded up.

    Raises:
        ValueError: the rate is not between 0 and 1.
    """
    inverse = 1 / exact(rate)
    return int(-(-inverse.numerator // inverse.denominator)) - 1


def conformal_rank(count: int, rate: float) -> int:
    """ceil((n + 1) (1 - alpha)), exactly: 1 to n + 1 (Vovk et al. 2005; 1604.04173, eq. 4).

    Raises:
        ValueError: the rate is not between 0 and 1.
    """
    return count + 1 - int((count + 1) * exact(rate))


def conformal_threshold(held_out: ArrayLike, rate: float) -> float:
    """The score that a new good image exceeds with a chance of at most ``rate``.

    Args:
        held_out: (n,) scores of good images that had no part in making the score.
        rate: alpha, between 0 and 1.

    Returns:
        The ``conformal_rank``-th smallest score; infinity where that is beyond the last one, since
        n scores can promise no less than 1 / (n + 1).

    Raises:
        ValueError: a score is not finite, or the rate is not between 0 and 1.
    """
    ordered = np.sort(_scores(held_out))
    rank = conformal_rank(len(ordered), rate)
    return float(ordered[rank - 1]) if rank <= len(ordered) else float("inf")


def p_values(held_out: ArrayLike, scores: ArrayLike) -> Numbers:
    """(1 + #{held-out >= score}) / (n + 1) of each score (m,) (Vovk et al. 2005).

    A p-value is at most ``rate`` exactly where the score exceeds ``conformal_threshold``.

    Raises:
        ValueError: a score is not finite.
    """
    ordered = np.sort(_scores(held_out))
    below = np.searchsorted(ordered, _scores(scores), side="left")
    return np.asarray((1 + len(ordered) - below) / (len(ordered) + 1), dtype=np.float64)


def exact(rate: float) -> Fraction:
    """A rate as the fraction that was meant: 0.01 is one hundredth, 1 / 3 a third, not a double.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise ValueError(f"a false-alarm rate is between 0 and 1, not {rate}")
    return Fraction(float(rate)).limit_denominator(10**9)


def _scores(values: ArrayLike) -> Numbers:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError("scores are one finite number an image")
    return found
