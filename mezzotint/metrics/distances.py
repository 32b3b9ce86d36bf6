"""Distances between two sets of feature vectors."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mezzotint.metrics.arrays import CHUNK, Points, both, pair, points
from mezzotint.metrics.intervals import (
    Estimate,
    delete_one_variance,
    estimate,
    influence_error,
)

TINY = 1e-10  # share of the largest eigenvalue below which a direction counts as empty


def moments(features: ArrayLike) -> tuple[Points, Points]:
    """Mean (d,) and unbiased covariance (d, d) of features (N, d), in float64."""
    rows = points(features)
    mean = rows.mean(0)
    offsets = rows - mean
    # a matrix times its own transpose is symmetric, which numpy knows and computes half of
    return mean, offsets.T @ offsets / (len(rows) - 1)


def frechet(first: ArrayLike, second: ArrayLike) -> float:
    """Frechet distance of the Gaussians fitted to two sets of features (1706.08500, eq. 6).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); the trace of the root is the sum of the roots of
    the eigenvalues of F' C2 F, where C1 = F F', which is symmetric, so that covariances without
    full rank (N <= d) need no regularisation.

    Args:
        first, second: (N, d) and (M, d), N and M at least 2. The value depends on N and M:
            compare equal ones only.

    Returns:
        At least 0.

    Raises:
        ValueError: the features have no such form.
    """
    one, two = pair(first, second, 2)
    (mean, cov), (other_mean, other_cov) = moments(one), moments(two)
    factor = _factor(cov)
    cross = _sqrt(np.asarray(np.linalg.eigvalsh(factor.T @ other_cov @ factor))).sum()
    apart = ((mean - other_mean) ** 2).sum()
    return max(0.0, float(apart + np.trace(cov) + np.trace(other_cov) - 2 * cross))


def frechet_estimate(first: ArrayLike, second: ArrayLike) -> Estimate:
    """:func:`frechet` with an interval by the influence of each point of both sets.

    The interval is of the distance at this N and M, which lies above that of infinitely many.

    Raises:
        ValueError: as :func:`frechet`.
    """
    one, two = pair(first, second, 2)
    value, influences = _value_and_influences(one, two)
    error = math.hypot(*(influence_error(part) for part in influences))
    found = estimate(value, error)
    return found._replace(low=max(found.low, 0.0))


def paired_frechet_estimate(first: ArrayLike, second: ArrayLike) -> Estimate:
    """As :func:`frechet_estimate` of two versions of the same things, row by row.

    What is drawn by chance is a pair, so both its influences count together.

    Raises:
        ValueError: as :func:`frechet`, or there are more rows of one.
    """
    one, two = pair(first, second, 2)
    if len(one) != len(two):
        raise ValueError(f"{len(one)} and {len(two)} rows are no pairs")
    value, (there, back) = _value_and_influences(one, two)
    found = estimate(value, influence_error(there + back))
    return found._replace(low=max(found.low, 0.0))


def _value_and_influences(one: Points, two: Points) -> tuple[float, tuple[Points, Points]]:
    """The Frechet distance, and the first-order effect of each point of both sets on it.

    The distance changes by 2 (m1 - m2) . dm1 + tr((I - T) dC1), with T the linear part of the
    optimal transport from one Gaussian to the other (Peyre & Cuturi 2019, remark 2.31); a point
    moves m1 by its offset from it. With R = C1^(1/2) and B = R C2 R, T = R^-1 B^(1/2) R^-1, and
    the transport back is R B^(-1/2) R on the directions that C2 has: (K K')^(1/2) is
    K (K' K)^(-1/2) K' for K = C2^(1/2) R. So two spectra serve for everything.
    """
    (mean, cov), (other_mean, other_cov) = moments(one), moments(two)
    root, inverse = _roots(cov)
    values, vectors = np.linalg.eigh(root @ other_cov @ root)
    sizes, apart = _sqrt(values), mean - other_mean
    scales: Points = np.reciprocal(np.where(sizes > 0, sizes, np.inf))
    total = (apart**2).sum() + np.trace(cov) + np.trace(other_cov) - 2 * sizes.sum()
    there = _moved(one - mean, inverse @ vectors, sizes, 2 * apart)
    back = _moved(two - other_mean, root @ vectors, scales, -2 * apart)
    return max(0.0, float(total)), (there, back)


def _moved(offsets: Points, basis: Points, weights: Points, slope: Points) -> Points:
    """slope . o + o' (I - T) o of each offset, where T = basis diag(weights) basis': (N,)."""
    turned = offsets @ basis
    moved: Points = offsets @ slope + (offsets * offsets).sum(1) - (turned * turned) @ weights
    return moved


def _factor(covariance: Points) -> Points:
    """F of C = F F': Cholesky's where there is one, at a tenth of the price; otherwise C^(1/2)."""
    try:
        return np.asarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        return _root(covariance)


def _root(symmetric: Points) -> Points:
    values, vectors = np.linalg.eigh(symmetric)
    return np.asarray((vectors * _sqrt(values)) @ vectors.T)


def _sqrt(eigenvalues: Points) -> Points:
    """Roots of eigenvalues in rising order; those of rounding size are 0, since a root of 1e-16 is
    no longer small and there may be a thousand of them."""
    rounding = np.finfo(np.float64).eps * len(eigenvalues) * max(eigenvalues[-1], 0)
    roots: Points = np.sqrt(np.where(eigenvalues > rounding, eigenvalues, 0))
    return roots


def _roots(symmetric: Points) -> tuple[Points, Points]:
    """C^(1/2), and C^(-1/2) on the directions that C has."""
    values, vectors = np.linalg.eigh(symmetric)
    present = values > TINY * max(values[-1], 0)
    scales = np.where(present, 1 / np.sqrt(np.where(present, values, 1)), 0)
    return (vectors * _sqrt(values)) @ vectors.T, (vectors * scales) @ vectors.T


class _Sums(NamedTuple):
    """Row sums of kernel tables: within each set without the diagonal, and across."""

    within: Points
    within_other: Points
    across: Points
    across_other: Points


def kernel_distance(first: ArrayLike, second: ArrayLike) -> Estimate:
    """Unbiased squared MMD under the cubic kernel (x.y / d + 1)^3 (1801.01401, eq. 4).

    Of all pairs, not of random subsets; the interval is the two-sample jackknife's, exact from the
    sums of the rows.

    Args:
        first, second: (N, d) and (M, d), N and M at least 3. The expected value does not depend
            on N and M; it is 0 for equal laws, so values below 0 occur.

    Raises:
        ValueError: the features have no such form.
    """
    one, two = both(first, second, 3)
    sums = _kernel_sums(one, two)
    n, m = len(one), len(two)
    inner, outer, cross = sums.within.sum(), sums.within_other.sum(), sums.across.sum()
    value = inner / (n * (n - 1)) + outer / (m * (m - 1)) - 2 * cross / (n * m)
    without = _left(inner, sums.within) - 2 * (cross - sums.across) / ((n - 1) * m)
    other = _left(outer, sums.within_other) - 2 * (cross - sums.across_other) / (n * (m - 1))
    spread = delete_one_variance(without) + delete_one_variance(other)
    return estimate(float(value), float(np.sqrt(spread)))


def _left(total: float, rows: Points) -> Points:
    """Mean over the pairs that are left without each point."""
    count = len(rows)
    mean: Points = (total - 2 * rows) / ((count - 1) * (count - 2))
    return mean


def _kernel_sums(one: Points, two: Points) -> _Sums:
    rows, columns = np.empty(len(one)), np.zeros(len(two))
    for start in range(0, len(one), CHUNK):
        table = _kernel(one[start : start + CHUNK], two)
        rows[start : start + CHUNK] = table.sum(1)
        columns += table.sum(0)
    return _Sums(_within(one), _within(two), rows, columns)


def _within(rows: Points) -> Points:
    parts = [
        _kernel(rows[start : start + CHUNK], rows).sum(1) for start in range(0, len(rows), CHUNK)
    ]
    own = ((rows * rows).sum(1) / rows.shape[1] + 1) ** 3
    sums: Points = np.concatenate(parts) - own
    return sums


def _kernel(first: Points, second: Points) -> Points:
    """The cubic kernel of all pairs (1801.01401, section 4)."""
    table = first @ second.T
    table /= first.shape[1]
    table += 1
    cubes: Points = table * table * table
    return cubes
