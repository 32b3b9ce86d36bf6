"""Guidance of a whole batch, each image at a level of its own."""

from collections.abc import Callable

import torch
from torch import Tensor

from mezzotint.families.diffusing import DiffusionConfig
from mezzotint.guidance import guide, rescale_guidance
from mezzotint.noise import Levels

Clean = Callable[[Tensor, Levels, Tensor | None], Tensor]


def guided_clean(
    clean: Clean, noisy: Tensor, levels: Levels, told: Tensor | None, config: DiffusionConfig
) -> Tensor:
    """u + w (c - u) from one forward pass of both; one plain pass where w = 1.

    Args:
        clean: (noisy, levels, told) -> x_0, where told is -1 for nothing.
        noisy: (N, C, H, W).
        levels: of each image.
        told: (N,) or None, which leaves nothing to guide by.
        config: has the weight, its range of sigma / alpha, and the rescaling.
    """
    if told is None or config.guidance == 1:
        return clean(noisy, levels, told)
    doubled = Levels(*(torch.cat([part, part]) for part in levels))
    both = torch.cat([told, torch.full_like(told, -1)])
    wanted, plain = clean(torch.cat([noisy, noisy]), doubled, both).chunk(2)
    ratio = levels.sigma / levels.alpha.clamp(min=1e-6)
    inside = (config.guidance_low < ratio) & (ratio <= config.guidance_high)
    mixed = torch.where(inside, guide(wanted, plain, config.guidance), wanted)
    return rescale_guidance(mixed, wanted, config.guidance_rescale)
