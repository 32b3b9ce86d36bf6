"""What a solver is: a walk that asks for clean images as it goes, and whoever answers.

A solver is written once, as a generator that yields an :class:`Ask` where it needs a prediction
and a :class:`Step` where it has moved. One caller answers at once, for all images of a batch;
another one gathers what many walks ask and answers them from one forward pass.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mezzotint.noise import Level


class Denoised(NamedTuple):
    """A network's x_0, (N, C, H, W) like the noisy images it saw.

    ``fraction``, shaped like it, is v in [0, 1] of 2102.09672, eq. 15, if the variance is learnt.
    """

    clean: Tensor
    fraction: Tensor | None = None

    def rows(self) -> list["Denoised"]:
        """One for each image."""
        return [Denoised(*parts) for parts in zip(*(_rows(part, len(self.clean)) for part in self))]


def together(parts: Sequence[Denoised]) -> Denoised:
    """Predictions for several batches as for one."""
    fractions = [part.fraction for part in parts if part.fraction is not None]
    clean = torch.cat([part.clean for part in parts])
    return Denoised(clean, torch.cat(fractions) if fractions else None)


def _rows(part: Tensor | None, count: int) -> Sequence[Tensor | None]:
    return [None] * count if part is None else part.split(1)  # type: ignore[no-untyped-call]


class Step(NamedTuple):
    """One transition: the images at the new level and the prediction made at the old one."""

    noisy: Tensor
    clean: Tensor


class Ask(NamedTuple):
    """What is behind these noisy images (N, C, H, W) at this level?"""

    noisy: Tensor
    level: Level


Denoise = Callable[[Tensor, Level], Denoised]
Noise = Callable[[int], Tensor]  # step, from 0 -> standard normal numbers shaped like the images
Walk = Generator[Ask | Step, Any, None]


@dataclass(frozen=True)
class Solver:
    """A way from noise to images.

    Attributes:
        asking: (x, levels, noise, **options) -> the walk that asks, one :class:`Step` a
            transition between neighbouring levels.
    """

    asking: Callable[..., Walk]

    def __call__(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Noise, **options: Any
    ) -> Iterator[Step]:
        """The steps, with ``denoise`` as the answer to every question."""
        return driven(self.asking(x, levels, noise, **options), lambda ask: denoise(*ask))


def driven(walk: Walk, answer: Callable[[Ask], Any]) -> Iterator[Step]:
    """The steps of a walk whose questions are answered at once."""
    reply = None
    while True:
        try:
            event = walk.send(reply)
        except StopIteration:
            return
        reply = answer(event) if isinstance(event, Ask) else None
        if isinstance(event, Step):
            yield event


def solve(steps: Iterable[Step]) -> Tensor:
    """Run a solver to its end: the sample, (N, C, H, W). There is at least one step."""
    last = deque(steps, maxlen=1).pop()
    return last.noisy
