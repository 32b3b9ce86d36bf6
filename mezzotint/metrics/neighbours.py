"""Fidelity and diversity by nearest neighbours in feature space (1904.06991; 2002.09797)."""

from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 1024


class Prdc(NamedTuple):
    """Shares of 0 to 1; density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def radii(points: Tensor, k: int) -> Tensor:
    """Distance of each point (N, d) to its k-th nearest other point: (N,)."""
    parts = [
        torch.cdist(part, points).kthvalue(k + 1).values for part in torch.split(points, CHUNK)
    ]
    return torch.cat(parts)


def prdc(real: Tensor, made: Tensor, k: int = 5) -> Prdc:
    """Precision, recall, density and coverage of made points against real ones.

    Args:
        real: (N, d) features of images.
        made: (M, d) features of samples; take N = M, the values depend on both.
        k: neighbours that make up a point's ball; 5 in 2002.09797, 3 in 1904.06991.
    """
    real, made = real.double(), made.double()
    real_radii, made_radii = radii(real, k), radii(made, k)
    inside = torch.zeros(len(made), dtype=torch.float64)
    recalled, covered = [], []
    for part, ball in zip(torch.split(real, CHUNK), torch.split(real_radii, CHUNK), strict=True):
        distances = torch.cdist(part, made)
        within = distances <= ball[:, None]
        inside += within.sum(0)
        covered.append(within.any(1))
        recalled.append((distances <= made_radii).any(1))
    shares = [(inside > 0).double(), torch.cat(recalled).double(), inside / k, torch.cat(covered)]
    return Prdc(*(float(share.double().mean()) for share in shares))
