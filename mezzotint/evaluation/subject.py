"""What an evaluation looks at: a model, images it has not seen, and images it has."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.dataset import Images
from mezzotint.families.base import Family
from mezzotint.features.extractor import Extractor, Features, Pixels, extract
from mezzotint.features.table import open_extractor, reference_features
from mezzotint.progress import Progress

FEWEST = 50  # fewer images say nothing about a distribution
TRAIN_LOOKED_AT = 5000


@dataclass(frozen=True)
class Subject:
    """A model and the images it is measured on.

    Attributes:
        family: the model.
        held_out: images it has not seen.
        train: images it was trained on; may be empty.
        limit: of held-out images looked at.
        samples: made to be compared with as many held-out images; None for as many as sensible.
        draws: K of the importance-weighted bound.
        features: name of the extractor.
        show: where progress goes.
    """

    family: Family
    held_out: Images
    train: Images
    limit: int
    samples: int | None
    draws: int
    features: str
    show: Progress

    @cached_property
    def pixels(self) -> Pixels:
        """Held-out images uint8 (n, H, W, C) in random order, since sets often come sorted."""
        return self.held_out.gather(_drawn(len(self.held_out), self.limit))

    @cached_property
    def train_pixels(self) -> Pixels:
        """Up to 5,000 training images, in random order."""
        return self.train.gather(_drawn(len(self.train), TRAIN_LOOKED_AT))

    @cached_property
    def extractor(self) -> Extractor:
        """The extractor, opened or trained when it is first asked for."""
        return open_extractor(self.features, self.held_out, self.show)

    @cached_property
    def real(self) -> Features:
        """Features of the held-out images."""
        return reference_features(self.extractor, self.pixels, self.show, "of held-out images")

    @cached_property
    def seen(self) -> Features:
        """Features of the training images."""
        return reference_features(
            self.extractor, self.train_pixels, self.show, "of training images"
        )

    def look(self, pixels: Pixels, note: str) -> Features:
        """Features of made images."""
        return extract(self.extractor, pixels, self.show, note)


def _drawn(count: int, limit: int) -> NDArray[np.int64]:
    """Up to ``limit`` of the rows 0 to ``count`` - 1 at random, the same at every call."""
    return np.random.default_rng(0).permutation(count)[:limit]
