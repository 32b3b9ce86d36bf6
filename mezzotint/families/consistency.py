"""Multistep consistency distillation: a student that jumps along its teacher's path (2403.06807).

The path from noise to an image is cut into as many segments as the student is to take steps. Inside
a segment the student learns to see, from every point, the same end: where the teacher's next small
step leads, and from there its own jump. With small steps enough that end is the teacher's, at the
price of one jump.

A point's place is sigma / (alpha + sigma), 0 at the image and 1 at noise. Divided by alpha + sigma,
points move along straight lines as long as the predicted image stays, whatever the process.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from mezzotint.errors import UsageError
from mezzotint.families.base import Batch
from mezzotint.noise import Exploding, Flow, Level, Levels, Process, Table, q_sample

FEWEST, MOST = 4, 16  # small steps a segment, at the start of the run and at its end
Predict = Callable[[Tensor, Levels], Tensor]
Endless = Flow | Exploding


def pseudo_huber(error: Tensor, softness: float = 0.03) -> Tensor:
    """sqrt(mean of squares + c^2) - c of each image's error: (N, ...) -> (N,) (2310.14189).

    The mean over pixels stands for the paper's sum, so that c means the same at any size.
    """
    return (error.square().flatten(1).mean(1) + softness**2).sqrt() - softness


def bounds(process: Process, segments: int) -> list[tuple[float, float]]:
    """(lower, upper) place of each segment: a sampler of so many steps stands on the upper ones."""
    places = [_place(level) for level in process.levels(segments)]
    return [(lower, upper) for upper, lower in pairwise(places)]


def _place(level: Level) -> float:
    return level.sigma / (level.alpha + level.sigma)


def endless(process: Process) -> Endless:
    """The process, which must have a level at every place.

    Raises:
        UsageError: it is a table, with none between its own.
    """
    if isinstance(process, Table):
        raise UsageError(
            "a process that is a table of levels cannot be distilled",
            where="process=linear or cosine",
            fix="train with process=flow or exploding",
        )
    return process


def small_steps(progress: float) -> int:
    """Small steps a segment; the number grows geometrically with the run (2403.06807, sec. 3.2)."""
    return round(FEWEST * math.pow(MOST / FEWEST, progress))


def jump_error(
    student: Predict, teacher: Predict, process: Process, segments: int, batch: Batch
) -> Tensor:
    """Distance of the student's predicted image to the one its teacher's step implies: (N,).

    Args:
        student, teacher: (noisy, levels) -> x_0; no gradient flows into the teacher's.
        process: any but a table, which has no levels between its own.
        segments: jumps from noise to an image.
        batch: images and draws.

    Raises:
        UsageError: the process is a table.
    """
    process = endless(process)
    low, early, late = _places(batch, bounds(process, segments))
    noise = batch.noise.randn(*batch.images.shape[1:])
    levels = process.at_place(late)
    noisy = q_sample(batch.images, noise, levels.alpha, levels.sigma)
    with torch.no_grad():
        wanted = _implied(student, teacher, process, noisy, (low, early, late))
    return pseudo_huber(student(noisy, levels) - wanted)


def _places(batch: Batch, parts: list[tuple[float, float]]) -> tuple[Tensor, Tensor, Tensor]:
    """Lower end of a random segment and the two ends of a random small step in it, (N,) each."""
    count, uniform = small_steps(batch.progress), batch.noise.rand()
    index = (uniform * (count * len(parts))).long().clamp(max=count * len(parts) - 1)
    table = torch.tensor(parts, dtype=uniform.dtype, device=uniform.device)
    low, high = table[index // count].unbind(1)
    step = index % count
    return low, low + (high - low) * step / count, low + (high - low) * (step + 1) / count


def _implied(
    student: Predict,
    teacher: Predict,
    process: Endless,
    noisy: Tensor,
    places: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """x_0 of the straight line from ``noisy`` to where teacher, then student, arrive."""
    low, early, late = (place.view(-1, 1, 1, 1) for place in places)
    from_late = process.at_place(places[2])
    point = noisy / (from_late.alpha + from_late.sigma)
    speed = (point - teacher(noisy, from_late)) / late
    reached = point + (early - late) * speed
    from_early = process.at_place(places[1])
    seen = student(reached * (from_early.alpha + from_early.sigma), from_early)
    after = torch.where(early > low, (reached - seen) / early.clamp(min=1e-6), 0.0)
    end = reached + (low - early) * after
    return point - late * (point - end) / (late - low)
