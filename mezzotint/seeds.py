"""Randomness as a pure function of what it is for, never of when or where it is drawn.

Two kinds of draws share one small interface, so that an objective or a corruption works with both:
:class:`ImageNoise` gives image i of a sample numbers that depend on its own seed alone;
:class:`BatchNoise` gives a training batch numbers that depend on (seed, images seen) alone, equal
for any split over processes and micro-batches.
"""

import hashlib
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

from mezzotint.errors import UsageError

LARGEST = 2**63 - 1


class Draws(Protocol):
    """Random numbers for the images of a batch, one row an image."""

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers of shape (images, *shape)."""
        ...

    def rand(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1) of shape (images, *shape)."""
        ...


def mix(*parts: int | str) -> int:
    """One 63-bit seed from several parts; a different tuple gives an unrelated seed."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def image_seeds(seed: int, count: int) -> range:
    """The seeds of a sample's images: image i of ``--seed s`` has the seed s + i.

    Raises:
        UsageError: a seed is negative or needs more than 63 bits.
    """
    if not 0 <= seed <= LARGEST - count:
        raise UsageError(f"seed={seed}", where="seed", fix=f"a number from 0 to {LARGEST - count}")
    return range(seed, seed + count)


def seed_global(seed: int, device: torch.device) -> None:
    """Seed torch's own generators, for layers that draw by themselves, such as dropout.

    ``torch.manual_seed`` also looks for every other kind of device and records a stack trace for
    each of them: a third of a millisecond, a tenth of a small model's step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


def _generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    return torch.Generator(device=device).manual_seed(mix(*parts))


class ImageNoise:
    """Draws for images with seeds of their own, made on the CPU and moved to ``device``.

    Args:
        seeds: one whole number an image.
        device: where the numbers are wanted.
        purpose: keeps the numbers of unrelated uses apart.
    """

    def __init__(
        self, seeds: Iterable[int], device: torch.device | str = "cpu", purpose: str = "sample"
    ) -> None:
        self._generators = [_generator(purpose, int(seed)) for seed in seeds]
        self._device = device

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers (images, *shape), float32."""
        rows = [torch.randn(shape, generator=generator) for generator in self._generators]
        return torch.stack(rows).to(self._device)

    def rand(self, *shape: int) -> Tensor:
        """Uniform numbers (images, *shape) in [0, 1), float32."""
        rows = [torch.rand(shape, generator=generator) for generator in self._generators]
        return torch.stack(rows).to(self._device)


class BatchNoise:
    """Draws for rows ``start:stop`` of a global batch of ``total`` images.

    Every holder of a part of the batch draws the whole and keeps its rows, so that one process and
    eight, one micro-batch and four, see the same numbers.

    Args:
        key: what the draws are for, for example (seed, images seen, player).
        total: images in the global batch.
        start: first row held.
        stop: one past the last row held.
        device: where the numbers are made.
    """

    def __init__(
        self,
        key: tuple[int | str, ...],
        total: int,
        start: int = 0,
        stop: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._generator = _generator(*key, device=device)
        self._total, self._rows, self._device = total, slice(start, stop), device

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers (rows, *shape), float32."""
        whole = torch.randn((self._total, *shape), generator=self._generator, device=self._device)
        return whole[self._rows]

    def rand(self, *shape: int) -> Tensor:
        """Uniform numbers (rows, *shape) in [0, 1), float32."""
        whole = torch.rand((self._total, *shape), generator=self._generator, device=self._device)
        return whole[self._rows]
