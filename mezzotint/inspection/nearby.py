"""The training images nearest to samples, and how near that is."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.dataset import Images
from mezzotint.features.table import kept_features, open_extractor
from mezzotint.metrics.arrays import points, squared_distances
from mezzotint.progress import Progress

REMEMBERED, COMPARED, FEWEST = 20_000, 512, 16
SHOWN = 5

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Nearby:
    """Samples and their neighbours.

    Attributes:
        samples: uint8 (n, H, W, C).
        train: the training images looked at.
        near: (n, SHOWN) rows of ``train``, the nearest first.
        distances: (n,) to the nearest one, in mean distances of held-out images to theirs.
        title: of what looked.
    """

    samples: Pixels
    train: Images
    near: NDArray[np.int64]
    distances: NDArray[np.float64]
    title: str

    def row(self, at: int) -> Pixels:
        """A sample and its neighbours: uint8 (1 + SHOWN, H, W, C)."""
        return np.concatenate([self.samples[at : at + 1], self.train.gather(self.near[at])])


def nearest_training_images(
    samples: Pixels, images: Images, features: str, show: Progress
) -> Nearby | None:
    """Look samples up among at most 20,000 training images.

    Args:
        samples: uint8 (n, H, W, C).
        images: held-out images of the set the model was trained on.
        features: name of the extractor.
        show: where progress goes.

    Returns:
        None where there are too few training images or held-out ones to tell what is near.
    """
    train = replace(images, rows=images.train_rows)
    if min(len(train), len(images)) < FEWEST or np.isin(images.rows, train.rows).any():
        return None
    train = train.subset(np.random.default_rng(0).permutation(len(train))[:REMEMBERED])
    extractor = open_extractor(features, images, show)

    def look(pixels: Pixels, note: str) -> NDArray[np.float64]:
        return points(kept_features(extractor, pixels, show, note))

    seen = look(train.gather(range(len(train))), "of training images")
    others = look(images.gather(range(min(COMPARED, len(images)))), "of held-out images")
    usual = np.sqrt(squared_distances(others, seen).min(1)).mean()
    if not usual > 0:  # every held-out image is a training image
        return None
    table = squared_distances(look(samples, "of samples"), seen)
    near = np.argsort(table, axis=1, kind="stable")[:, :SHOWN]
    distances = np.sqrt(np.take_along_axis(table, near[:, :1], 1)[:, 0]) / usual
    return Nearby(samples, train, near, distances, extractor.title)
