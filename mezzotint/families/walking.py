"""From noise to images by a solver: what is asked of the images enters at every step."""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mezzotint.errors import DataError
from mezzotint.families.conditions import Conditions, asked_for, with_and_without
from mezzotint.families.diffusing import DiffusionConfig, build_process
from mezzotint.families.guiding import Seen, guides, mixed
from mezzotint.guidance import CLIPS
from mezzotint.noise import Level, Levels, spread_level
from mezzotint.seeds import ImageNoise
from mezzotint.solvers import SOLVERS
from mezzotint.stepping import Ask, Denoised, Step, Walk, driven


class Look(NamedTuple):
    """Rows for a network: (k, C, H, W) at one level and what it is told of each, or None."""

    noisy: Tensor
    level: Level
    told: Tensor | None


Looking = Generator[Look | Step, Any, None]
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
    told = conditions.told
    asked = asking(config, noise, conditions, start)
    return driven(asked, lambda ask: guided(ask.noisy, ask.level, told, config))


def asking(
    config: DiffusionConfig,
    noise: ImageNoise,
    conditions: Conditions,
    start: Tensor | None = None,
) -> Walk:
    """The same walk, asking for guided predictions; arguments and errors as :func:`walk`."""
    process = build_process(config)
    levels = process.levels(config.steps, config.spacing)
    levels = levels[-1 - conditions.steps(config.steps) :]
    shape = (config.channels, *config.size)
    x = noise.randn(*shape) if start is None else start
    if conditions.image is not None and conditions.strength < 1:
        x = levels[0].sigma * x + levels[0].alpha * conditions.image
    else:
        x = process.prior(levels[0]) * x
    solver = SOLVERS[config.solver].asking(x, levels, lambda step: noise.randn(*shape))
    broken: list[Tensor] = []
    reply = None
    while (event := _next(solver, reply)) is not None:
        seen = yield event
        reply = None
        if isinstance(event, Ask):
            broken.append(~torch.isfinite(seen.clean).all())  # a look waits for a GPU: read last
            reply = _kept(seen, config, conditions)
    _require_finite(broken)


def looking(config: DiffusionConfig, noise: ImageNoise, conditions: Conditions) -> Looking:
    """The same walk, asking for rows of plain predictions; it does the guiding itself.

    Whoever answers may put the rows of many walks into one forward pass; see :func:`looked`.
    """
    walked, told, seen = asking(config, noise, conditions), conditions.told, None
    while (event := _next(walked, seen)) is not None:
        seen = None
        if isinstance(event, Step):
            yield event
        elif told is None or config.guidance == 1 or not guides(event.level, config):
            wanted = None if told is None else asked_for(told)
            seen = yield Look(event.noisy, event.level, wanted)
        else:
            both = with_and_without(told)
            found = yield Look(torch.cat([event.noisy, event.noisy]), event.level, both)
            seen = mixed(found, spread_level(event.level, event.noisy), config)


def looked(seen: Seen, rows: Sequence[Look], count: int) -> list[Denoised]:
    """One forward pass for rows of many walks, each at a level of its own: one answer a row.

    Args:
        seen: (noisy, levels, told) -> x_0 and, where it is learnt, the variance.
        rows: looks of one row each, ``count`` at the most.
        count: rows of the pass, the last one repeated; one number for every call, so that kernels
            round the same whoever shares it.
    """
    full = [*rows, *[rows[-1]] * (count - len(rows))]
    like = rows[0].noisy
    alpha, sigma, time = (like.new_tensor(values) for values in zip(*(row.level for row in full)))
    levels = Levels(alpha.view(-1, 1, 1, 1), sigma.view(-1, 1, 1, 1), time)
    hints = [row.told for row in full if row.told is not None]
    told = torch.cat(hints) if hints else None
    return seen(torch.cat([row.noisy for row in full]), levels, told).rows()[: len(rows)]


def _next(walk: Generator[Any, Any, None], reply: Any) -> Any:
    """What a walk yields next, None at its end."""
    try:
        return walk.send(reply)
    except StopIteration:
        return None


def _kept(seen: Denoised, config: DiffusionConfig, conditions: Conditions) -> Denoised:
    """A prediction with its pixels kept in range, and what is not under the mask kept as it is."""
    clean = CLIPS[config.clip](seen.clean.float())
    if conditions.mask is not None and conditions.image is not None:
        clean = torch.where(conditions.mask > 0.5, clean, conditions.image)
    return Denoised(clean, seen.fraction)


def _require_finite(broken: list[Tensor]) -> None:
    if bool(torch.stack(broken).any()):
        raise DataError(
            "the network gives numbers that are not finite, so there is no picture",
            where="sampling",
            fix="sample in float32 (model.float()); if it is, use an earlier checkpoint or copy",
        )
