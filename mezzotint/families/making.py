"""What is made of a diffusion model's walks: images, films of them, ways between two of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from mezzotint.families.conditions import Conditions, fixed_parts, spread
from mezzotint.noise import slerp
from mezzotint.progress import counted
from mezzotint.seeds import ImageNoise
from mezzotint.stepping import Step, solve

ROWS = 8  # more cost a CPU as much a row, and a picture asked for alone waits for all of them
Watch = Callable[[int, int], None]


class Walks(Protocol):
    """What is seen of a model here."""

    config: Any

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what it makes."""
        ...

    def trajectory(
        self,
        noise: ImageNoise,
        conditions: Conditions,
        start: Tensor | None = None,
        **settings: Any,
    ) -> Iterator[Step]:
        """The states of a solver."""
        ...


def made(
    model: Walks,
    seeds: Sequence[int],
    conditions: Conditions,
    batch: int,
    watch: Watch,
    rows: int | None = None,
    **settings: Any,
) -> Tensor:
    """Ends of the walks of seeds, (n, C, H, W) on the CPU, unclamped; no row depends on another.

    Args:
        model: what walks.
        seeds: one a row.
        conditions: what is asked of each.
        batch: rows at a time on a GPU; a CPU takes as many as are fastest.
        watch: called with steps done and steps in all.
        rows: of a pass, whatever ``batch`` and the device.
        settings: options of the model's configuration that differ.
    """
    usual = ROWS if model.device.type == "cpu" else max(1, batch)
    parts = list(fixed_parts(len(seeds), rows or usual))
    steps = conditions.steps(int(settings.get("steps", model.config.steps)))
    ends = []
    for index, part in enumerate(parts):
        noise = ImageNoise([seeds[row] for row in part], model.device)
        walk = model.trajectory(noise, conditions.part(part, model.device), **settings)
        watched = counted(walk, watch, index * steps, len(parts) * steps)
        ends.append(solve(watched).cpu())
    return torch.cat(ends)[: len(seeds)]


def filmed(
    model: Walks, seeds: Sequence[int], conditions: Conditions, frames: int, **settings: Any
) -> tuple[Tensor, Tensor]:
    """States x_t and the x_0 predicted at them, each (n, frames, C, H, W) on the CPU, unclamped.

    Frames are equally spaced over the steps, the last one included.
    """
    whole = conditions.part(range(len(seeds)), model.device)
    states = list(model.trajectory(ImageNoise(seeds, model.device), whole, **settings))
    kept = [states[at] for at in spread(len(states), frames)]
    noisy = torch.stack([state.noisy.cpu() for state in kept], 1)
    return noisy, torch.stack([state.clean.cpu() for state in kept], 1)


def between(
    model: Walks, first: int, second: int, conditions: Conditions, count: int, **settings: Any
) -> Tensor:
    """Ends (count, C, H, W) of walks from the great circle between two seeds' noise, unclamped."""
    ends = ImageNoise([first, second], model.device).randn(*model.shape)
    shares = torch.linspace(0, 1, count, device=model.device).view(-1, 1, 1, 1)
    starts = slerp(ends[:1], ends[1:], shares)
    found = []
    for part in fixed_parts(count, ROWS):
        noise = ImageNoise([first] * len(part), model.device, "interpolate")
        own = conditions.part(part, model.device)
        found.append(solve(model.trajectory(noise, own, starts[part], **settings)).cpu())
    return torch.cat(found)[:count]
