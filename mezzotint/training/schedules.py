"""How rates change over a run, as functions of the share of it that is done."""

import math
from collections.abc import Callable

DECAYS: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1 - progress,
    "none": lambda progress: 1.0,
}


def bent(progress: float, left: float, reached: float) -> float:
    """Where a run that went back stands in its schedule, whose rest fits into what is left.

    Args:
        progress: share of the run that is done.
        left: the share that was done when the run went back.
        reached: where the schedule stood at the place it went back to.
    """
    return reached + (progress - left) * (1 - reached) / max(1 - left, 1e-9)


def rate_scale(progress: float, warmup: float, decay: str) -> float:
    """Multiplier of the learning rate: rises linearly over ``warmup``, then falls to zero.

    Args:
        progress: share of the run that is done, 0 to 1.
        warmup: share of the run the rise takes.
        decay: key of ``DECAYS``.
    """
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    rest = (progress - warmup) / max(1 - warmup, 1e-9)
    return DECAYS[decay](min(rest, 1.0))
