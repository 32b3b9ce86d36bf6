"""Numbers of single images: reconstruction, likelihood bounds, denoising."""

import functools
import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.alpha import GROUNDS, RGBA, composite
from mezzotint.evaluation.values import Value, mean_value
from mezzotint.families.base import Family, to_unit
from mezzotint.families.capabilities import Denoises, Encodes, Reconstructs
from mezzotint.images import to_float, to_uint8
from mezzotint.likelihoods import LIKELIHOODS, bits_per_dim
from mezzotint.seeds import ImageNoise, image_seeds
from mezzotint.similarity import absolute_error, psnr, squared_error, ssim

PART = 128
ACTIVE_VARIANCE = 1e-2
MOST_DECODED, LEAST_BOUNDED = 1 << 15, 128


FIDELITY: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str]] = {
    "mse": (squared_error, "per pixel in [0, 1]"),
    "mae": (absolute_error, "per pixel in [0, 1]"),
    "psnr": (psnr, "dB"),
    "ssim": (ssim, ""),
}
Lay = Callable[[Tensor], Tensor]
GROUNDED: dict[bool, dict[str, Lay]] = {
    False: {"": lambda images: images},
    True: {
        name: functools.partial(composite, level=level / 255) for name, level in GROUNDS.items()
    },
}
"""Whether images are RGBA -> what they are laid on, in [0, 1]."""


def reconstruction_values(family: Family, pixels: NDArray[np.uint8]) -> dict[str, Value]:
    """Mean distances between images and their reconstructions; of RGBA on the worse ground."""
    found: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    for images in _parts(pixels):
        rebuilt = family.reconstruct(images).cpu()  # type: ignore[operator]
        for ground, lay in GROUNDED[images.shape[1] == RGBA].items():
            for name, (distance, _) in FIDELITY.items():
                found[ground, name].append(distance(lay(to_unit(rebuilt)), lay(to_unit(images))))
    means = {key: torch.cat(parts) for key, parts in found.items()}
    grounds = {ground for ground, _ in means}
    worst = max(sorted(grounds), key=lambda ground: float(means[ground, "mse"].mean()))
    note = f"on {worst}, the worse of white and black" if len(grounds) > 1 else ""
    return {name: mean_value(means[worst, name], FIDELITY[name][1], note) for name in FIDELITY}


def reconstructed(family: Family, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reconstructions of uint8 images (N, H, W, C), in the same form."""
    if not isinstance(family, Reconstructs):
        raise TypeError(f"{family.kind} does not reconstruct")
    return np.concatenate([to_uint8(family.reconstruct(images)) for images in _parts(pixels)])


def bound_values(family: Family, pixels: NDArray[np.uint8], samples: int) -> dict[str, Value]:
    """Reconstruction, KL and bounds in nats, bits a dimension, and the number of active units.

    The bounds are of the first images, as many as ``MOST_DECODED`` decoded samples allow.
    """
    bounded = pixels[: max(LEAST_BOUNDED, MOST_DECODED // samples)]
    seeds = image_seeds(0, len(bounded))
    parts = [
        family.bound(images, ImageNoise(seeds[at : at + PART], family.device, "bound"), samples)  # type: ignore[operator]
        for at, images in zip(range(0, len(bounded), PART), _parts(bounded), strict=True)
    ]
    terms = {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}
    bound = f"K={samples}"
    values = {
        "reconstruction": mean_value(terms["reconstruction"], "nats"),
        "kl": mean_value(terms["kl"], "nats"),
        "negative_elbo": mean_value(-terms["elbo"], "nats"),
        "nll_bound": mean_value(-terms["iw_bound"], "nats", f"importance-weighted, {bound}"),
        "active_units": active_value(family, pixels),
    }
    likelihood = LIKELIHOODS[family.config.likelihood]
    if likelihood.counts_bits:
        dims = math.prod(family.shape)
        bits = bits_per_dim(-terms["iw_bound"], dims, likelihood.continuous)
        values["bits_per_dim"] = mean_value(bits, "bits", f"importance-weighted, {bound}")
    return values


@torch.inference_mode()
def denoising_values(family: Family, pixels: NDArray[np.uint8]) -> dict[str, Value]:
    """Squared error of a diffusion model's prediction at levels of its training, without labels."""
    if not isinstance(family, Denoises):
        raise TypeError(f"{family.kind} does not denoise")
    seeds, errors = image_seeds(0, len(pixels)), []
    for at, images in zip(range(0, len(pixels), PART), _parts(pixels), strict=True):
        draws = ImageNoise(seeds[at : at + PART], family.device, "denoising")
        levels, noise = family.process.draw(draws.rand()), draws.randn(*family.shape)
        clean = family.inward(images.to(family.device))
        errors.append(family.squared_error(clean, noise, levels, None).cpu())
    unit = f"per pixel of {family.config.prediction}"
    return {"denoising_error": mean_value(torch.cat(errors), unit, "one level an image")}


def active_value(family: Family, pixels: NDArray[np.uint8]) -> Value:
    """Latents whose posterior mean varies over the images: Var(mu_j) > 0.01 (1509.00519, 5.3)."""
    if not isinstance(family, Encodes):
        raise TypeError(f"{family.kind} does not encode")
    means = torch.cat([family.embed(images).cpu() for images in _parts(pixels)])
    active = int((means.var(0, correction=0) > ACTIVE_VARIANCE).sum())
    return Value(active, None, None, len(pixels), f"of {means.shape[1]} latents")


def _parts(pixels: NDArray[np.uint8]) -> list[Tensor]:
    return [to_float(pixels[at : at + PART]) for at in range(0, len(pixels), PART)]
