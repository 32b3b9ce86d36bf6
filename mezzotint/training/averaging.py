"""Averages of a model's weights over training, with the power-function profile of 2312.02696."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn


def profile_exponent(width: float) -> float:
    """gamma of the profile whose relative standard deviation is ``width`` (2312.02696, eq. 128).

    The positive root of g^3 + 7 g^2 + (16 - w^-2) g + 12 - w^-2; widths 0.05 and 0.10 give 16.97
    and 6.94. Widths up to 0.28 have one.
    """
    square = width**-2
    roots = np.roots([1, 7, 16 - square, 12 - square])
    return float(max(root.real for root in roots if abs(root.imag) < 1e-9))


def decay_at(step: int, exponent: float) -> float:
    """Weight kept at optimiser step ``step`` >= 1: (1 - 1/step)^(gamma + 1) (2312.02696, eq. 127).

    It is 0 at the first step and rises, so that the average needs no warm-up of its own.
    """
    return float((1 - 1 / step) ** (exponent + 1))


class Average:
    """The running average of a module's parameters and buffers.

    Floating-point tensors are averaged, whole-number buffers copied.

    Args:
        module: what is averaged; its tensors are read at every update.
        width: relative width of the profile; 0 follows the module without averaging.
        copied: how the names of tensors begin that are copied instead.
    """

    def __init__(self, module: nn.Module, width: float, copied: tuple[str, ...] = ()) -> None:
        self._exponent = profile_exponent(width) if width > 0 else None
        live = module.state_dict(keep_vars=False)
        self.tensors = {name: tensor.detach().clone() for name, tensor in live.items()}
        floating = [n for n in live if live[n].is_floating_point() and not n.startswith(copied)]
        self._live = [live[name] for name in floating]
        self._mean = [self.tensors[name] for name in floating]
        self._whole = [(self.tensors[name], live[name]) for name in live if name not in floating]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the module's tensors in after optimiser step ``step`` (from 1)."""
        decay = decay_at(step, self._exponent) if self._exponent is not None else 0.0
        torch._foreach_lerp_(self._mean, self._live, 1 - decay)
        if self._whole:
            copies, lives = zip(*self._whole, strict=True)
            torch._foreach_copy_(copies, lives)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over saved averages."""
        for name, tensor in tensors.items():
            self.tensors[name].copy_(tensor)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the module for the time of the block."""
        kept = [tensor.clone() for tensor in self._all_live()]
        self._put(list(self.tensors.values()))
        try:
            yield
        finally:
            self._put(kept)

    def _all_live(self) -> list[Tensor]:
        order = {id(mean): live for mean, live in zip(self._mean, self._live, strict=True)}
        order |= {id(mean): live for mean, live in self._whole}
        return [order[id(mean)] for mean in self.tensors.values()]

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for live, value in zip(self._all_live(), values, strict=True):
            live.copy_(value)


class Averages:
    """The average a run ends with, and those a length can be chosen from afterwards.

    Args:
        module: what is averaged.
        width: of the main average; see :class:`Average`.
        widths: of the others; one of the main width is the main average itself.
        copied: how the names of tensors begin that are copied instead.
    """

    def __init__(
        self,
        module: nn.Module,
        width: float,
        widths: Sequence[float] = (),
        copied: tuple[str, ...] = (),
    ) -> None:
        self.main = Average(module, width, copied)
        self.profiles = {w: self.main if w == width else Average(module, w, copied) for w in widths}

    def update(self, step: int) -> None:
        """Take the module's tensors in after optimiser step ``step`` (from 1)."""
        for average in {id(each): each for each in (self.main, *self.profiles.values())}.values():
            average.update(step)

    def kept(self) -> dict[float, Mapping[str, Tensor]]:
        """Width -> name -> tensor, of the averages that are kept side by side."""
        return {width: average.tensors for width, average in self.profiles.items()}

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint must hold, by file."""
        others = {f"ema-{w:g}": a.tensors for w, a in self.profiles.items() if a is not self.main}
        return {"ema": self.main.tensors, **others}

    def load(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what :meth:`groups` gave."""
        self.main.load(groups["ema"])
        for width, average in self.profiles.items():
            if average is not self.main:
                average.load(groups[f"ema-{width:g}"])
