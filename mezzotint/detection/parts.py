"""Parts of scores: each gives a heat map, a number an image, or both. One table has them all."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mezzotint.detection.density import (
    distance_to,
    fit_gaussian,
    fit_turn,
    mahalanobis,
    patch_vectors,
    turned,
)
from mezzotint.detection.looking import (
    CELLS,
    Ground,
    Look,
    distances_of_places,
    every,
    law_of_places,
    looks,
)
from mezzotint.detection.maps import (
    feature_error,
    peak,
    pixel_error,
    smooth,
    structure_error,
)
from mezzotint.errors import UsageError, nearest
from mezzotint.families.base import Family
from mezzotint.families.capabilities import (
    Bounds,
    Denoises,
    Encodes,
    Marks,
    Reconstructs,
    Stages,
    Turns,
)
from mezzotint.features.extractor import Pixels
from mezzotint.metrics.detecting import auroc
from mezzotint.seeds import ImageNoise

STAGES_USED = 2
BOUND_DRAWS = 8
ORDERED = 0.9  # chance of telling a moved good image from an unmoved one that is worth a weight
ALIKE, NOISE = 0.65, 0.8  # shares of a usual distance to the nearest: of things, of mere noise
CHANCE = math.log(4) + math.log(3)  # nats of turn and moves, that halved, for who knows nothing


class Rated(NamedTuple):
    """What a part says of N images: scores (N,), and maps (N, H, W) where it has any."""

    scores: Tensor
    maps: Tensor | None = None


Rate = Callable[[Look], Rated]


class Part(NamedTuple):
    """A part of a score: what a family must be able to do, and how it is made ready.

    ``pretrained`` parts are for networks that others trained, not for the model's own encoder;
    ``able`` asks a model that could do it in principle.
    """

    needs: tuple[type, ...]
    prepare: Callable[[Ground], Rate]
    pretrained: bool = False
    able: Callable[[Any], bool] = lambda family: True


def mapped(function: Callable[[Look], Tensor]) -> Callable[[Ground], Rate]:
    """A part from a map that needs no fitting: smoothed, and rated by its peak."""

    def rate(look: Look) -> Rated:
        maps = smooth(function(look))
        return Rated(peak(maps), maps)

    return lambda ground: rate


def pixel_part(look: Look) -> Tensor:
    """Squared error of the reconstruction."""
    return pixel_error(look.clean, look.restored)


def structure_part(look: Look) -> Tensor:
    """1 - SSIM with the reconstruction."""
    return structure_error(look.clean, look.restored)


def feature_part(look: Look) -> Tensor:
    """Distance of a network's features to those of the reconstruction."""
    return feature_error(look.stages, look.rebuilt_stages, look.images.shape[-2:])


def walked_pixel_part(look: Look) -> Tensor:
    """Squared error of partial diffusion, mean over noises (AnoDDPM, CVPRW 2022)."""
    return torch.stack([pixel_error(look.clean, walked) for walked in look.walked]).mean(0)


def walked_structure_part(look: Look) -> Tensor:
    """1 - SSIM with partial diffusion, mean over noises."""
    return torch.stack([structure_error(look.clean, walked) for walked in look.walked]).mean(0)


def patch_part(ground: Ground) -> Rate:
    """Mahalanobis distance of the features at each place (2011.08785, with one law for all)."""

    def vectors(look: Look) -> Tensor:
        return patch_vectors(look.stages[-STAGES_USED:])

    def distances(look: Look) -> Tensor:
        return distances_of_places(law, vectors(look), look.images.shape[-2:])

    law = law_of_places(vectors, ground)
    return mapped(distances)(ground)


def texture_part(look: Look) -> Tensor:
    """Mahalanobis distance of brightness and energy of detail at each place; needs no network."""
    return look.texture


def marked_part(look: Look) -> Tensor:
    """Logits of damage, as the model learnt to see it (2108.07610)."""
    return look.marks


class Layout:
    """Distance to the nearest good images by what is where: another kind of thing.

    :attr:`Look.layout`, each number in units of its spread, turned to the main directions of good
    images and there divided by the root of the spread, half way to a Mahalanobis distance; the mean
    distance to the three nearest.

    Args:
        ground: its good images are the memory.
    """

    def __init__(self, ground: Ground) -> None:
        rows = every(lambda look: look.layout, ground, ground.good)
        self.turn = fit_turn(rows)
        self.memory = turned(self.turn, rows)

    def __call__(self, look: Look) -> Rated:
        """The distances of a few images."""
        return Rated(distance_to(self.memory, turned(self.turn, look.layout)))

    def alike(self, look: Look) -> Tensor:
        """The distance to the nearest as a share of that to a usual one (N,): 1 of mere noise."""
        near = distance_to(self.memory, turned(self.turn, look.layout))
        apart = torch.cdist(turned(self.turn, look.layout), self.memory).median(1).values
        return near / apart.clamp_min(1e-12)


def turn_part(look: Look) -> Rated:
    """How unsure the model is of the image's turns: another kind of thing (1805.10917)."""
    model: Any = look.ground.family
    return Rated(model.surprise(look.images).cpu())


def whole_texture_part(ground: Ground) -> Rate:
    """The mean of that distance over the image: what differs a little everywhere has no peak."""
    return lambda look: Rated(look.texture.flatten(1).mean(1))


def latent_part(ground: Ground) -> Rate:
    """Mahalanobis distance of the image's latent (1807.03888, eq. 2, with a shrunk covariance)."""

    def vectors(look: Look) -> Tensor:
        model: Any = ground.family
        found: Tensor = model.embed(look.images).cpu()
        return found

    gaussian = fit_gaussian(every(vectors, ground, ground.good))
    return lambda look: Rated(mahalanobis(gaussian, vectors(look)).float())


def bound_part(ground: Ground) -> Rate:
    """-ELBO in nats; the map is where the reconstruction differs."""
    model: Any = ground.family

    def rate(look: Look) -> Rated:
        draws = ImageNoise([0] * len(look.images), ground.family.device, "detect")
        terms = model.bound(look.images, draws, BOUND_DRAWS)
        return Rated(-terms["elbo"].cpu().float(), smooth(pixel_part(look)))

    return rate


PARTS: dict[str, Part] = {
    "pixel": Part((Reconstructs,), mapped(pixel_part)),
    "structure": Part((Reconstructs,), mapped(structure_part)),
    "features": Part((Reconstructs, Stages), mapped(feature_part)),
    "patches": Part((Stages,), patch_part),
    "imagenet": Part((Stages,), patch_part, pretrained=True),
    "texture": Part((Reconstructs,), mapped(texture_part)),
    "whole-texture": Part((Reconstructs,), whole_texture_part),
    "marks": Part((Marks,), mapped(marked_part), able=lambda family: family.marking),
    "turns": Part((Turns,), lambda ground: turn_part, able=lambda family: family.turning),
    "layout": Part((Reconstructs,), Layout),
    "latent": Part((Encodes,), latent_part),
    "elbo": Part((Bounds, Reconstructs), bound_part),
    "walk-pixel": Part((Denoises,), mapped(walked_pixel_part)),
    "walk-structure": Part((Denoises,), mapped(walked_structure_part)),
}
SCORES: dict[str, tuple[str, ...]] = {
    "combined": (
        "pixel",
        "structure",
        "texture",
        "whole-texture",
        "marks",
        "layout",
        "turns",
        "imagenet",
    ),
    "reconstruction": ("pixel", "structure", "features"),
    "latent": ("patches", "latent"),
    "elbo": ("elbo",),
    "diffusion": ("walk-pixel", "walk-structure"),
}
"""Name -> parts, the family's default first: the first score it has a part of."""


KINDS = ("layout", "turns")
"""Parts that tell what kind of thing an image shows, whether or not anything on it is damaged."""


@torch.inference_mode()
def kind_weights(ground: Ground, rates: Mapping[str, Rate], good: Pixels) -> dict[str, float]:
    """How much the parts of ``KINDS`` count beside the rest, which counts 1.

    Only where good images have an order that new ones can break: ``layout`` counts
    2 ((A - 0.9) / 0.1)^2, where A is the chance that a good image moved round by a seventh of its
    sides looks further from good ones than an unmoved one does: all of it for things that are
    always at the same place, nothing for a texture; and only as far as the nearest good images are
    nearer than the others are. ``turns`` counts that times the share of its uncertainty that it has
    lost by learning.

    Args:
        ground: the model.
        rates: the parts made ready.
        good: uint8 (n, H, W, C) good images that no density was fitted to.
    """
    layout = rates.get("layout")
    if not isinstance(layout, Layout):
        return {}
    looked = list(looks(ground, good))
    plain = torch.cat([layout(look).scores for look in looked])
    moved = torch.cat([layout(_moved_round(look)).scores for look in looked])
    marks = [False] * len(plain) + [True] * len(moved)
    told = auroc(torch.cat([plain, moved]).numpy(), marks)
    order = max(0.0, (told - ORDERED) / (1 - ORDERED)) ** 2
    alike = float(torch.cat([layout.alike(look) for look in looked]).median())
    order *= min(max((NOISE - alike) / (NOISE - ALIKE), 0.0), 1.0)
    found = {"layout": 2 * order}
    if "turns" in rates:
        unsure = torch.cat([rates["turns"](look).scores for look in looked]).mean()
        found["turns"] = 2 * order * max(0.0, 1 - math.exp(float(unsure)) / CHANCE)
    return found


def _moved_round(look: Look) -> Look:
    steps = tuple(-(-side // CELLS) for side in look.images.shape[-2:])
    return Look(look.ground, look.images.roll(steps, (2, 3)))


def parts_of(
    family: Family, score: str | None, network: bool, pretrained: bool = False
) -> tuple[str, list[str]]:
    """The score of a name, or the family's default, and the parts the family has of it.

    Args:
        family: the model.
        score: a key of ``SCORES``; None for the first one that fits.
        network: whether there is a network with maps.
        pretrained: whether that is one that others trained.

    Raises:
        UsageError: no such score, or the family has none of its parts.
    """
    if score is not None and score not in SCORES:
        raise UsageError(f"there is no score '{score}'", "score", nearest(score, SCORES))
    able = {name: _able(family, parts, network, pretrained) for name, parts in SCORES.items()}
    fitting = [name for name, parts in able.items() if parts]
    name = score or next(iter(fitting), "")
    if not able.get(name):
        why = f"{family.kind} cannot be scored" + (f" by {score}" if score else "")
        other = ", ".join(fitting) or "use a run of autoencoder, vae or diffusion"
        raise UsageError(why, "score", f"it can by: {other}" if fitting else other)
    return name, able[name]


def _able(family: Family, names: tuple[str, ...], network: bool, pretrained: bool) -> list[str]:
    fitting = [name for name in names if _has(family, PARTS[name], network)]
    return [name for name in fitting if pretrained or not PARTS[name].pretrained]


def _has(family: Family, part: Part, network: bool) -> bool:
    """Whether a family can do what a part needs; a network may stand in for its own stages."""
    needs = [need for need in part.needs if need is not Stages]
    fits = all(isinstance(family, need) for need in needs)
    return fits and (network or Stages not in part.needs) and part.able(family)
