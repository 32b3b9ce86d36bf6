"""Guidance of a whole batch, each image at a level of its own."""

from collections.abc import Callable

import torch
from torch import Tensor

from mezzotint.families.conditions import asked_for, with_and_without
from mezzotint.families.diffusing import DiffusionConfig
from mezzotint.guidance import guide, rescale_guidance
from mezzotint.noise import Level, Levels, spread_level
from mezzotint.stepping import Denoised, together

Seen = Callable[[Tensor, Levels, Tensor | None], Denoised]


def guided_at(
    seen: Seen, noisy: Tensor, level: Level, told: Tensor | None, config: DiffusionConfig
) -> Denoised:
    """As :func:`guided`, all rows at one level; nothing is spent where it is not guided.

    On a CPU the network never sees more rows at a time than without guidance: kernels round
    differently at other batch sizes, and a picture must not depend on who is computed with it.
    """
    levels = spread_level(level, noisy)
    if told is None or config.guidance == 1 or not guides(level, config):
        return seen(noisy, levels, None if told is None else asked_for(told))
    halves = apart(seen) if noisy.device.type == "cpu" else seen
    return guided(halves, noisy, levels, told, config)


def guided(
    seen: Seen, noisy: Tensor, levels: Levels, told: Tensor | None, config: DiffusionConfig
) -> Denoised:
    """u + w (c - u) from one forward pass of both; one plain pass where w = 1.

    Args:
        seen: (noisy, levels, told) -> x_0, where told is -1 for nothing.
        noisy: (N, C, H, W).
        levels: of each image.
        told: as :class:`Conditions` has it; None leaves nothing to guide by.
        config: has the weight, its range of sigma / alpha, and the rescaling.
    """
    if told is None or config.guidance == 1:
        return seen(noisy, levels, None if told is None else asked_for(told))
    doubled = Levels(*(torch.cat([part, part]) for part in levels))
    both = with_and_without(told)
    return mixed(seen(torch.cat([noisy, noisy]), doubled, both), levels, config)


def mixed(both: Denoised, levels: Levels, config: DiffusionConfig) -> Denoised:
    """u + w (c - u) inside the range that is guided, c outside it, rescaled; (N, C, H, W).

    A learnt variance is that of the condition alone.

    Args:
        both: c, then u: (2N, C, H, W).
        levels: of each image.
        config: has the weight, its range of sigma / alpha, and the rescaling.
    """
    wanted, plain = both.clean.chunk(2)
    ratio = levels.sigma / levels.alpha.clamp(min=1e-6)
    inside = (config.guidance_low < ratio) & (ratio <= config.guidance_high)
    clean = torch.where(inside, guide(wanted, plain, config.guidance), wanted)
    clean = rescale_guidance(clean, wanted, config.guidance_rescale)
    return Denoised(clean, None if both.fraction is None else both.fraction.chunk(2)[0])


def guides(level: Level, config: DiffusionConfig) -> bool:
    """Whether a level lies in the range of sigma / alpha that is guided."""
    ratio = level.sigma / max(level.alpha, 1e-6)
    return config.guidance_low < ratio <= config.guidance_high


def apart(seen: Seen) -> Seen:
    """A network that sees the two halves of a doubled batch one after the other.

    It then always sees as many rows as without guidance, and kernels round the same.
    """

    def each(noisy: Tensor, levels: Levels, told: Tensor | None) -> Denoised:
        parts = zip(noisy.chunk(2), *(part.chunk(2) for part in levels), strict=True)
        hints = (None, None) if told is None else told.chunk(2)
        return together([seen(x, Levels(*level), hint) for (x, *level), hint in zip(parts, hints)])

    return each
