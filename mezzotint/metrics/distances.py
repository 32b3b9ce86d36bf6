"""Distances between two sets of feature vectors."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def moments(features: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and unbiased covariance (d, d) of features (N, d), in float64."""
    rows = np.asarray(features, dtype=np.float64)
    return rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False))


def frechet(first: Array, second: Array) -> float:
    """Frechet distance of the Gaussians fitted to two sets of features (1706.08500, eq. 6).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); the trace of the root is the sum of the roots of
    the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric.

    Args:
        first, second: (N, d) and (M, d). The value depends on N and M: compare equal ones only.
    """
    (mean, cov), (other_mean, other_cov) = moments(first), moments(second)
    root = _root(cov)
    eigenvalues = np.linalg.eigvalsh(root @ other_cov @ root)
    cross = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    apart = float(((mean - other_mean) ** 2).sum())
    return float(apart + np.trace(cov) + np.trace(other_cov) - 2 * cross)


def _root(symmetric: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(symmetric)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)
