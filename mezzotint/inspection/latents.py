"""The latents of images, and how each image stands among them."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from mezzotint.data.dataset import Images
from mezzotint.detection.density import fit_gaussian, mahalanobis
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Encodes, Reconstructs
from mezzotint.images import to_float
from mezzotint.inspection.projecting import Map, principal_components
from mezzotint.progress import Progress
from mezzotint.training.previews import rebuilt

Numbers: TypeAlias = NDArray[np.float64]

AT_ONCE = 256
WIDEST = 256  # numbers of a latent that a covariance is taken of; of wider ones the main directions


@dataclass(frozen=True, eq=False)
class Latents:
    """Images and where a model puts them.

    Attributes:
        kind: of the family.
        images: the n images.
        of: how many images there were to choose from.
        vectors: (n, d) latents.
        distances: (n,) Mahalanobis distances from the centre of these latents; -distance^2 / 2 is
            the logarithm of a Gaussian's density but for a constant.
        errors: (n,) mean squared errors of the reconstructions, pixels in [0, 1]; None without.
        maps: what lays them out in a plane, the first one PCA.
        left_out: maps that are not there, and why.
    """

    kind: str
    images: Images
    of: int
    vectors: Numbers
    distances: Numbers
    errors: Numbers | None
    maps: tuple[Map, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)


def chosen(count: int, most: int) -> NDArray[np.int64]:
    """Rows of at most ``most`` of ``count`` images, evenly over the set and in its order."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def look(family: Family, images: Images, most: int, show: Progress) -> Latents:
    """Encode at most ``most`` images, rebuild them where the family can, and weigh them."""
    if not isinstance(family, Encodes):
        raise TypeError(f"{family.kind} does not encode")
    part = images.subset(chosen(len(images), most))
    vectors, errors = [], []
    for start in range(0, len(part), AT_ONCE):
        pixels = part.gather(range(start, min(start + AT_ONCE, len(part))))
        vectors.append(family.embed(to_float(pixels)).cpu().double().numpy())
        if isinstance(family, Reconstructs):
            errors.append(squared_errors(pixels, rebuilt(family, pixels)))
        show.update(min(start + AT_ONCE, len(part)), len(part), note="encoding")
    rows = np.concatenate(vectors)
    found = np.concatenate(errors) if errors else None
    return Latents(family.kind, part, len(images), rows, distances(rows), found)


def squared_errors(pixels: NDArray[np.uint8], others: NDArray[np.uint8]) -> Numbers:
    """Mean squared error of each image (N, H, W, C) with pixels in [0, 1]: (N,)."""
    found: Numbers = ((pixels.astype(np.float64) - others) ** 2).mean((1, 2, 3)) / 255**2
    return found


def distances(rows: Numbers) -> Numbers:
    """Mahalanobis distance of each row (n, d) from the centre of all: (n,).

    The covariance is Ledoit and Wolf's. Of rows wider than ``WIDEST`` the main directions count.
    """
    narrow = rows if rows.shape[1] <= WIDEST else principal_components(rows, WIDEST).points
    tensor = torch.from_numpy(np.ascontiguousarray(narrow))
    found: Numbers = mahalanobis(fit_gaussian(tensor), tensor).numpy()
    return found
