"""A term of the variational bound of a table of levels, which teaches a learnt variance."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BIN = 1 / 255  # half the width of a grey value in [-1, 1]
LEAST = 1e-12  # of a probability


def gaussian_kl(mean: Tensor, log_variance: Tensor, to_mean: Tensor, to_log: Tensor) -> Tensor:
    """KL of N(mean, exp(log_variance)) from N(to_mean, exp(to_log)) in nats, elementwise."""
    ratio = torch.exp(log_variance - to_log)
    gap = (mean - to_mean).square() * torch.exp(-to_log)
    return 0.5 * (to_log - log_variance + ratio + gap - 1)


def discretised_log_likelihood(images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log p of 8-bit pixels in [-1, 1] under a Gaussian (2006.11239, eq. 13), elementwise, nats."""
    scale = torch.exp(-0.5 * log_variance)
    above = torch.special.ndtr((images - mean + BIN) * scale)
    below = torch.special.ndtr((images - mean - BIN) * scale)
    above = torch.where(images > 1 - BIN, 1.0, above)
    below = torch.where(images < -1 + BIN, 0.0, below)
    return (above - below).clamp_min(LEAST).log()


def interpolated_log_variance(fraction: Tensor, small: Tensor, large: Tensor) -> Tensor:
    """v log beta + (1 - v) log beta~ (2102.09672, eq. 15)."""
    return fraction * large + (1 - fraction) * small


@dataclass(frozen=True)
class Posteriors:
    """q(x_{t-1} | x_t, x_0) of a table, and how far a model's step is from it.

    Attributes:
        cumprod: alphas_cumprod, float64 (T,), T at least 2.
    """

    cumprod: NDArray[np.float64]
    _placed: dict[torch.device, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def bound(
        self, clean: Tensor, noisy: Tensor, seen: Tensor, fraction: Tensor, index: Tensor
    ) -> Tensor:
        """L_{t-1} of 2006.11239, eq. 5: one term of the bound, nats a pixel, (N,).

        Args:
            clean: x_0, (N, C, H, W) in [-1, 1].
            noisy: x_t.
            seen: the model's x_0; a gradient through it is the caller's to stop.
            fraction: v of :func:`interpolated_log_variance`, shaped like ``clean``.
            index: t from 0, (N,); the term of 0 is the likelihood of the pixels.
        """
        of_clean, of_noisy, small, large = self._at(index, clean)
        true_mean = of_clean * clean + of_noisy * noisy
        mean = of_clean * seen + of_noisy * noisy
        log_variance = interpolated_log_variance(fraction, small, large)
        divergence = gaussian_kl(true_mean, small, mean, log_variance)
        unlikely = -discretised_log_likelihood(clean, mean, log_variance)
        first = index.view(-1, 1, 1, 1) == 0
        return torch.where(first, unlikely, divergence).flatten(1).mean(1)

    def _at(self, index: Tensor, like: Tensor) -> tuple[Tensor, ...]:
        if like.device not in self._placed:
            table = torch.from_numpy(_coefficients(self.cumprod)).float()
            self._placed[like.device] = table.to(like.device)
        rows = self._placed[like.device][index.long()]
        return tuple(rows[:, column].view(-1, 1, 1, 1) for column in range(4))


def _coefficients(cumprod: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of x_0 and x_t in the mean, log beta~ and log beta (2006.11239, eq. 7): (T, 4).

    beta~ is 0 at the first level; like the paper's code we take the second one's there.
    """
    before = np.append(1.0, cumprod[:-1])
    betas = 1 - cumprod / before
    of_clean = betas * np.sqrt(before) / (1 - cumprod)
    of_noisy = (1 - before) * np.sqrt(1 - betas) / (1 - cumprod)
    small = betas * (1 - before) / (1 - cumprod)
    small[0] = small[1]
    return np.stack([of_clean, of_noisy, np.log(small), np.log(betas)], 1)
