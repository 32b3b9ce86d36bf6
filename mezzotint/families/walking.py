"""From noise to images by a solver: what is asked of the images enters at every step."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mezzotint.errors import DataError
from mezzotint.families.conditions import Conditions
from mezzotint.families.diffusing import DiffusionConfig, build_process
from mezzotint.guidance import CLIPS
from mezzotint.noise import Level
from mezzotint.seeds import ImageNoise
from mezzotint.solvers import SOLVERS, Denoised, Step

Guided = Callable[[Tensor, Level, Tensor | None, DiffusionConfig], Denoised]


def walk(
    guided: Guided,
    config: DiffusionConfig,
    noise: ImageNoise,
    conditions: Conditions,
    start: Tensor | None = None,
) -> Iterator[Step]:
    """The states of a solver, float32 whatever the network computes in; all rows at once.

    Args:
        guided: (noisy, level, told, config) -> x_0, with guidance, and its variance.
        config: names solver, steps and clipping, and describes the process and the images.
        noise: draws of the images.
        conditions: what is asked of them.
        start: noise (N, C, H, W) to start from; None takes it from ``noise``.

    Raises:
        DataError: the network gives numbers that are not finite; no image is made of them.
    """
    process = build_process(config)
    levels = process.levels(config.steps, config.spacing)
    levels = levels[-1 - conditions.steps(config.steps) :]
    clip, broken = CLIPS[config.clip], []

    def denoise(noisy: Tensor, level: Level) -> Denoised:
        seen = guided(noisy, level, conditions.told, config)
        raw = seen.clean.float()
        broken.append(~torch.isfinite(raw).all())  # read at the end: every look waits for a GPU
        clean = clip(raw)
        if conditions.mask is not None and conditions.image is not None:
            clean = torch.where(conditions.mask > 0.5, clean, conditions.image)
        return Denoised(clean, seen.fraction)

    shape = (config.channels, *config.size)
    x = noise.randn(*shape) if start is None else start
    if conditions.image is not None and conditions.strength < 1:
        x = levels[0].sigma * x + levels[0].alpha * conditions.image
    else:
        x = process.prior(levels[0]) * x
    yield from SOLVERS[config.solver](denoise, x, levels, lambda step: noise.randn(*shape))
    _require_finite(broken)


def _require_finite(broken: list[Tensor]) -> None:
    if bool(torch.stack(broken).any()):
        raise DataError(
            "the network gives numbers that are not finite, so there is no picture",
            where="sampling",
            fix="sample in float32 (model.float()); if it is, use an earlier checkpoint or copy",
        )
