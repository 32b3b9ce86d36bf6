"""Guidance of a whole batch, each image at a level of its own."""

from collections.abc import Callable

import torch
from torch import Tensor

from mezzotint.families.diffusing import DiffusionConfig
from mezzotint.guidance import guide, rescale_guidance
from mezzotint.noise import Levels
from mezzotint.solvers import Denoised

Seen = Callable[[Tensor, Levels, Tensor | None], Denoised]


def guided(
    seen: Seen, noisy: Tensor, levels: Levels, told: Tensor | None, config: DiffusionConfig
) -> Denoised:
    """u + w (c - u) from one forward pass of both; one plain pass where w = 1.

    A learnt variance is that of the condition alone.

    Args:
        seen: (noisy, levels, told) -> x_0, where told is -1 for nothing.
        noisy: (N, C, H, W).
        levels: of each image.
        told: (N,) or None, which leaves nothing to guide by.
        config: has the weight, its range of sigma / alpha, and the rescaling.
    """
    if told is None or config.guidance == 1:
        return seen(noisy, levels, told)
    doubled = Levels(*(torch.cat([part, part]) for part in levels))
    both = torch.cat([told, torch.full_like(told, -1)])
    clean, fraction = seen(torch.cat([noisy, noisy]), doubled, both)
    wanted, plain = clean.chunk(2)
    ratio = levels.sigma / levels.alpha.clamp(min=1e-6)
    inside = (config.guidance_low < ratio) & (ratio <= config.guidance_high)
    mixed = torch.where(inside, guide(wanted, plain, config.guidance), wanted)
    mixed = rescale_guidance(mixed, wanted, config.guidance_rescale)
    return Denoised(mixed, None if fraction is None else fraction[: len(noisy)])
