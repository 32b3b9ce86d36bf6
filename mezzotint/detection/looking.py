"""What scorers see: a model, good images to learn from, and a few images at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from mezzotint.alpha import weighed
from mezzotint.detection.bands import band_features
from mezzotint.detection.density import Gaussian, fit_gaussian, mahalanobis
from mezzotint.detection.maps import enlarged
from mezzotint.families.base import Family, to_unit
from mezzotint.features.extractor import Pixels
from mezzotint.images import to_float

Network = Callable[[Tensor], list[Tensor]]
PART, PART_PIXELS, CELLS = 64, 1 << 19, 7
STRENGTH, WALKS = 0.25, 3
MOST_VECTORS = 40_000


@dataclass(frozen=True)
class Ground:
    """What scorers stand on.

    Attributes:
        family: the model.
        network: images (N, C, H, W) in [-1, 1] -> its maps (N, d, h, w); [] where it has none.
        good: uint8 (n, H, W, C) good images that a density may be fitted to.
    """

    family: Family
    network: Network
    good: Pixels

    @cached_property
    def texture_law(self) -> Gaussian:
        """The law of :attr:`Look.bands`."""
        return law_of_places(lambda look: look.bands, self)


@dataclass(frozen=True)
class Look:
    """A few images and what the model makes of them, each worked out once.

    Random numbers are the same for every image, so that a score depends on the image alone.

    Attributes:
        ground: the model.
        images: (N, C, H, W) in [-1, 1].
    """

    ground: Ground
    images: Tensor

    @cached_property
    def clean(self) -> Tensor:
        """In [0, 1]."""
        return to_unit(weighed(self.images))

    @cached_property
    def rebuilt(self) -> Tensor:
        """The model's version of the images, in [-1, 1]."""
        rebuilt: Tensor = self._model.reconstruct(self.images).cpu()
        return rebuilt

    @cached_property
    def restored(self) -> Tensor:
        """The model's version as :attr:`clean` shows the images, in [0, 1]."""
        return to_unit(weighed(self.rebuilt))

    @cached_property
    def bands(self) -> Tensor:
        """Brightness and energy of detail at each place."""
        return band_features(self.clean)

    @cached_property
    def texture(self) -> Tensor:
        """How far brightness and detail are from those of good images at each place (N, H, W)."""
        return distances_of_places(self.ground.texture_law, self.bands, self.images.shape[-2:])

    @cached_property
    def layout(self) -> Tensor:
        """Brightness and detail in each of 7x7 cells of the images (N, d)."""
        return adaptive_avg_pool2d(self.bands, CELLS).flatten(1)

    @cached_property
    def marks(self) -> Tensor:
        """Logits of damage, as the model sees it (N, H, W)."""
        marks: Tensor = self._model.mark(self.images).cpu()
        return marks

    @cached_property
    def stages(self) -> list[Tensor]:
        """The network's maps of the images."""
        return self.ground.network(self.images)

    @cached_property
    def rebuilt_stages(self) -> list[Tensor]:
        """The network's maps of the model's version."""
        return self.ground.network(self.rebuilt)

    @cached_property
    def walked(self) -> list[Tensor]:
        """Noised to a quarter of the way and walked back, with several noises, in [0, 1]."""
        told = {"label": "none"} if getattr(self.ground.family.config, "classes", ()) else {}
        return [
            to_unit(
                weighed(
                    self._model.sample(
                        [seed] * len(self.images), image=self.images, strength=STRENGTH, **told
                    )
                )
            )
            for seed in range(WALKS)
        ]

    @property
    def _model(self) -> Any:
        return self.ground.family


def looks(ground: Ground, pixels: Pixels) -> Iterator[Look]:
    """uint8 (n, H, W, C) images, 64 at a time, fewer where they are large."""
    count = at_once(pixels)
    for at in range(0, len(pixels), count):
        yield Look(ground, to_float(pixels[at : at + count]))


def at_once(pixels: Pixels) -> int:
    """How many images of (n, H, W, C) are looked at together."""
    return max(1, min(PART, PART_PIXELS // int(np.prod(pixels.shape[1:3]))))


def every(function: Callable[[Look], Tensor], ground: Ground, pixels: Pixels) -> Tensor:
    """One tensor of all images."""
    return torch.cat([function(look) for look in looks(ground, pixels)])


def law_of_places(vectors: Callable[[Look], Tensor], ground: Ground) -> Gaussian:
    """A Gaussian of vectors (N, d, h, w) of good images, all places together."""

    part = at_once(ground.good)

    def listed(look: Look) -> Tensor:
        rows = vectors(look).movedim(1, -1).flatten(0, 2)
        return rows[:: max(1, len(rows) * (len(ground.good) // part + 1) // MOST_VECTORS)]

    return fit_gaussian(every(listed, ground, ground.good))


def distances_of_places(law: Gaussian, vectors: Tensor, size: torch.Size) -> Tensor:
    """Mahalanobis distances of vectors (N, d, h, w) at each place, enlarged to (N, *size)."""
    found = vectors.movedim(1, -1)
    far = mahalanobis(law, found.flatten(0, 2)).view(found.shape[:3]).float()
    return enlarged(far, size)
