"""Latents of given images, searched for: how a model without an encoder reconstructs (1703.03208).

The nearest of many samples are the starts; from each, Adam follows the squared error down. Latents
stay as near to the middle as drawn ones, so that what is found is an image the model would make.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mezzotint.config import at_least
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Generates, Labels
from mezzotint.nets.adversaries import held_still
from mezzotint.seeds import ImageNoise, image_seeds
from mezzotint.similarity import squared_error

POOL, AT_ONCE = 512, 8  # samples that starts are chosen of; images searched for together
RATE = 0.1


@dataclass(frozen=True)
class Inverted:
    """What a search has found.

    Attributes:
        images: (N, C, H, W) in [-1, 1], what the model makes of the latents.
        latents: (N, d).
        errors: (N,) mean squared errors against the images asked for, pixels in [0, 1].
        told: (N,) the class or group the generator was told, or None.
    """

    images: Tensor
    latents: Tensor
    errors: Tensor
    told: Tensor | None


def invert(
    family: Family,
    images: Tensor,
    seed: int = 0,
    steps: int = 200,
    starts: int = 4,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Inverted:
    """Search for latents whose images come nearest to given ones.

    Args:
        family: makes images of latents.
        images: (N, C, H, W) in [-1, 1]; what is found of one does not depend on the others.
        seed: of the samples that are tried as starts.
        steps: of each search; 0: the nearest sample.
        starts: searches for each image; the best end counts.
        watch: is told how many steps are done, of how many.

    Raises:
        UsageError: a number is out of its range.
    """
    at_least(1, starts=starts)
    at_least(0, steps=steps, seed=seed)
    if not isinstance(family, Generates):
        raise TypeError(f"{family.kind} makes no images of latents")
    parts = []
    groups = torch.split(images, AT_ONCE)
    for at, part in enumerate(groups):
        # kernels round differently at other batch sizes
        full = torch.cat([part, part[-1:].expand(AT_ONCE - len(part), -1, -1, -1)])
        before = at * max(1, steps)
        found = _search(
            family,
            family.inward(full.to(family.device)),
            (seed, steps, min(starts, POOL)),
            lambda done, before=before: watch(before + done, len(groups) * max(1, steps)),  # type: ignore[misc]
        )
        parts.append((found, len(part)))
    return Inverted(*(_joined(parts, name) for name in ("images", "latents", "errors", "told")))


def _joined(parts: list[tuple[Inverted, int]], name: str) -> Any:
    values = [(getattr(found, name), count) for found, count in parts]
    if values[0][0] is None:
        return None
    return torch.cat([value[:count].cpu() for value, count in values])


def _search(
    family: Any, images: Tensor, how: tuple[int, int, int], watch: Callable[[int], None]
) -> Inverted:
    """Latents of ``AT_ONCE`` images on the family's device."""
    seed, steps, starts = how
    with held_still(family.generator):
        latents, told = _starts(family, images, seed, starts)
        wanted = images.repeat_interleave(starts, 0)
        latents, errors = _descend(family, latents, told, wanted, steps, watch)
        rows = torch.arange(len(images), device=images.device) * starts
        rows = rows + errors.view(-1, starts).argmin(1)
        latents, told = latents[rows], None if told is None else told[rows]
        with torch.no_grad():
            made = family.generator(latents, told).clamp(-1, 1)
    return Inverted(family.outward(made), latents, _errors(made, images), told)


def _errors(made: Tensor, wanted: Tensor) -> Tensor:
    return squared_error(made / 2, wanted / 2)


@torch.no_grad()
def _starts(family: Any, images: Tensor, seed: int, starts: int) -> tuple[Tensor, Tensor | None]:
    """The samples of the pool nearest to each image, image by image: latents and what is told."""
    seeds = image_seeds(seed * POOL, POOL)
    latents = ImageNoise(seeds, images.device, "invert").randn(family.config.latent)
    labels = family.labels_of(seeds) if isinstance(family, Labels) else None
    told = family.told.asked(seeds, labels)
    told = None if told is None else told.to(images.device)
    columns = []
    for rows in torch.split(torch.arange(POOL, device=images.device), AT_ONCE):
        made = family.generator(latents[rows], None if told is None else told[rows])
        columns.append(torch.stack([_errors(made, one.expand_as(made)) for one in images]))
    near = torch.cat(columns, 1).argsort(dim=1, stable=True)[:, :starts].flatten()
    return latents[near], None if told is None else told[near]


def _descend(
    family: Any,
    start: Tensor,
    told: Tensor | None,
    wanted: Tensor,
    steps: int,
    watch: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """The best latents on the way of each row, and their errors."""
    leaf = start.clone().requires_grad_()
    radius = torch.maximum(start.norm(dim=1, keepdim=True), _usual_norm(start))
    optimiser = torch.optim.Adam([leaf], lr=RATE)
    best, least = start.clone(), torch.full((len(start),), math.inf, device=start.device)
    for step in range(steps + 1):
        errors = _errors(family.generator(leaf, told), wanted)
        better = errors.detach() < least
        best[better], least[better] = leaf.detach()[better], errors.detach()[better]
        if step == steps:
            break
        (leaf.grad,) = torch.autograd.grad(errors.sum(), leaf)
        optimiser.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
        optimiser.step()
        with torch.no_grad():
            leaf.mul_((radius / leaf.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp(max=1))
        watch(step + 1)
    return best, least


def _usual_norm(latents: Tensor) -> Tensor:
    """The root mean square of the norm of normal latents (N, d): a scalar."""
    return torch.tensor(latents.shape[1] ** 0.5, device=latents.device)
