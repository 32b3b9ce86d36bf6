"""How far features lie from those of good images: a Gaussian, or the nearest of a memory."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = 3
DIRECTIONS = 96
MOST_REMEMBERED = 4096
ROWS = 4096  # of a distance table held at once


class Gaussian(NamedTuple):
    """A mean (d,) and the inverse of a covariance (d, d), float64."""

    mean: Tensor
    precision: Tensor


def fit_gaussian(rows: Tensor) -> Gaussian:
    """A Gaussian with the covariance shrunk towards a sphere (Ledoit & Wolf 2004, lemma 3.3).

    Args:
        rows: (n, d) vectors, two at least; there may be more numbers than vectors.
    """
    rows = rows.double()
    mean = rows.mean(0)
    covariance = shrunk_covariance(rows - mean)
    floor = 1e-9 * covariance.diagonal().mean().clamp_min(1e-12)
    eye = torch.eye(len(mean), dtype=torch.float64, device=rows.device)
    return Gaussian(mean, torch.linalg.inv(covariance + floor * eye))


def shrunk_covariance(centred: Tensor) -> Tensor:
    """(1 - s) S + s tr(S) / d I with Ledoit and Wolf's s, of rows (n, d) with mean 0."""
    count, width = centred.shape
    sample = centred.T @ centred / count
    scale = sample.diagonal().mean()
    apart = sample.square().sum() - width * scale * scale  # |S - m I|^2
    fourth = centred.square().sum(1).square().mean()  # mean of |x x'|^2
    noise = (fourth - sample.square().sum()) / count
    share = (noise / apart.clamp_min(1e-300)).clamp(0, 1)
    eye = torch.eye(width, dtype=centred.dtype, device=centred.device)
    return (1 - share) * sample + share * scale * eye


def mahalanobis(gaussian: Gaussian, rows: Tensor) -> Tensor:
    """sqrt((x - m)' C^-1 (x - m)) of rows (n, d): (n,), float64."""
    apart = rows.double() - gaussian.mean
    return ((apart @ gaussian.precision) * apart).sum(1).clamp_min(0).sqrt()


class Turn(NamedTuple):
    """What brings rows (n, d) to a few directions: x -> (x - mean) @ directions, float32."""

    mean: Tensor
    directions: Tensor


def fit_turn(rows: Tensor, most: int = DIRECTIONS) -> Turn:
    """The main directions of rows (n, d), each number in units of its spread.

    A direction of variance v is divided by v^(1/4): between a distance in space, which the few
    largest directions rule, and a Mahalanobis distance, which noise rules.
    """
    exact = rows.double()
    mean, spread = exact.mean(0), exact.std(0, correction=0)
    spread = spread + 1e-3 * spread.mean().clamp_min(1e-6)
    unit = (exact - mean) / spread
    _, length, axes = torch.linalg.svd(unit / max(len(rows) - 1, 1) ** 0.5, full_matrices=False)
    kept = axes[: min(most, max(1, len(rows) - 1))]
    strength = length[: len(kept)].clamp_min(1e-6)
    directions = (kept / strength[:, None].sqrt()).T / spread[:, None]
    return Turn(mean.float(), directions.float())


def turned(turn: Turn, rows: Tensor) -> Tensor:
    """Rows (n, d) along the directions: (n, k)."""
    return (rows - turn.mean) @ turn.directions


def patch_vectors(stages: list[Tensor]) -> Tensor:
    """A vector around every place of the first stage's grid: (N, d, h, w).

    Means of 3x3 neighbours at each stage, brought to one grid and joined (2106.08265, section 3.1).
    """
    around = [F.avg_pool2d(part, 3, 1, 1, count_include_pad=False) for part in stages]
    size = around[0].shape[-2:]
    joined = [around[0]]
    joined += [
        F.interpolate(part, size, mode="bilinear", align_corners=False) for part in around[1:]
    ]
    return torch.cat(joined, 1)


def remember(vectors: Tensor, most: int = MOST_REMEMBERED) -> Tensor:
    """Vectors (n, d) of good patches, ``most`` of them drawn the same way every time."""
    chosen = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:most]
    return vectors[chosen.to(vectors.device)]


def distance_to(memory: Tensor, vectors: Tensor) -> Tensor:
    """Mean distance of vectors (n, d) to the ``NEIGHBOURS`` nearest in memory: (n,)."""
    count = min(NEIGHBOURS, len(memory))
    parts = [
        torch.cdist(part, memory).topk(count, dim=1, largest=False).values.mean(1)
        for part in torch.split(vectors, ROWS)
    ]
    return torch.cat(parts)
