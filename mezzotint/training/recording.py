"""A player's forward and backward pass recorded once as a CUDA graph, then replayed.

A small network on a large GPU waits for Python to launch its kernels one by one; a graph launches
them all at once. Everything that differs between steps lies at a fixed address and is filled before
each replay: images, labels, and the random numbers, which are drawn in the order the loss asks for
them, so that a replayed step gives what the step itself would have given.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mezzotint.families.base import Batch, Losses
from mezzotint.seeds import Draws

WARM_UPS = 3
Ask = tuple[str, tuple[int, ...]]


class Logged:
    """Draws that note what they are asked for.

    Args:
        draws: where the numbers come from.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self.asked: list[Ask] = []
        self.given: list[Tensor] = []

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers (rows, *shape)."""
        return self._note("randn", shape)

    def rand(self, *shape: int) -> Tensor:
        """Uniform numbers (rows, *shape) in [0, 1)."""
        return self._note("rand", shape)

    def _note(self, kind: str, shape: tuple[int, ...]) -> Tensor:
        self.asked.append((kind, shape))
        self.given.append(getattr(self._draws, kind)(*shape))
        return self.given[-1]


class Fixed:
    """Draws that hand out the same tensors in the same order, over and over.

    Args:
        tensors: what :class:`Logged` gave.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)
        self._next = 0

    def randn(self, *shape: int) -> Tensor:
        """The next tensor."""
        return self._take()

    def rand(self, *shape: int) -> Tensor:
        """The next tensor."""
        return self._take()

    def _take(self) -> Tensor:
        self._next += 1
        return self.tensors[(self._next - 1) % len(self.tensors)]


class Recording:
    """Forward and backward of one player on batches of one size.

    Args:
        backward: leaves gradients in the parameters and returns the losses; it must do the same
            work at every call.
        module: what the player trains; its buffers keep the values they have.
        batch: a batch of the size to come, without captions.
        graph: what can record and replay; a ``torch.cuda.CUDAGraph``.
        recording: opens the context in which ``graph`` records.
    """

    def __init__(
        self,
        backward: Callable[[Batch], Losses],
        module: nn.Module,
        batch: Batch,
        graph: Any,
        recording: Callable[[Any], AbstractContextManager[Any]],
    ) -> None:
        self.graph, self.images = graph, batch.images.clone()
        self.labels = None if batch.labels is None else batch.labels.clone()
        known = batch.known
        self.known = None if known is None else {name: one.clone() for name, one in known.items()}
        buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
        draws = self._warm_up(backward, module, batch)
        static = replace(batch, images=self.images, labels=self.labels, known=self.known)
        static = replace(static, noise=draws)
        module.zero_grad(set_to_none=True)  # the recorded pass allocates its own gradients
        with recording(graph):
            self.losses = {name: loss.detach() for name, loss in backward(static).items()}
        for buffer, kept in buffers:
            buffer.copy_(kept)

    def _warm_up(
        self, backward: Callable[[Batch], Losses], module: nn.Module, batch: Batch
    ) -> Fixed:
        logged = Logged(batch.noise)
        backward(replace(batch, noise=logged))
        self.asked, self.tensors = logged.asked, logged.given
        draws = Fixed(self.tensors)
        for _ in range(WARM_UPS):
            module.zero_grad(set_to_none=True)
            backward(replace(batch, noise=draws))
        return draws

    def replay(self, batch: Batch) -> Losses:
        """Gradients and losses of another batch of the same size."""
        self.images.copy_(batch.images)
        if self.labels is not None and batch.labels is not None:
            self.labels.copy_(batch.labels)
        for name, rows in (self.known or {}).items():
            rows.copy_((batch.known or {})[name])
        for (kind, shape), tensor in zip(self.asked, self.tensors, strict=True):
            tensor.copy_(getattr(batch.noise, kind)(*shape))
        self.graph.replay()
        return {name: loss.clone() for name, loss in self.losses.items()}


def record(backward: Callable[[Batch], Losses], module: nn.Module, batch: Batch) -> Recording:
    """Record a pass on the CUDA device that ``batch`` is on."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        made = Recording(
            backward, module, batch, torch.cuda.CUDAGraph(), lambda graph: torch.cuda.graph(graph)
        )
    torch.cuda.current_stream().wait_stream(side)
    return made
