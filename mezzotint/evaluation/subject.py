"""What an evaluation looks at: a model, images it has not seen, and images it has."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mezzotint.alpha import GROUNDS, RGBA
from mezzotint.data.dataset import Images
from mezzotint.errors import UsageError
from mezzotint.evaluation.likeness import reconstructed
from mezzotint.families.base import Family
from mezzotint.features.extractor import Extractor, Features, Pixels
from mezzotint.features.table import kept_features, open_extractor
from mezzotint.images import to_uint8
from mezzotint.metrics.detail import Looks, look
from mezzotint.progress import Progress
from mezzotint.seeds import image_seeds

FEWEST = 50  # fewer images say nothing about a distribution
TRAIN_LOOKED_AT = 5000
EYED = 1000  # images whose fine detail is measured; more would cost more than they tell
BATCH = 64
MADE = 1000  # samples where the user names no number
PROMPTED = 300  # pictures for captions
SEED = 0


class Made(NamedTuple):
    """Samples uint8 (n, H, W, C) of the seeds 0 to n - 1, and the seconds they took."""

    pixels: Pixels
    seconds: float


class Asked(NamedTuple):
    """Rows of held-out images that have captions, and these."""

    rows: list[int]
    captions: list[str]


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
        sampling: options of the family's ``sample``.
        ground: what an extractor that knows no transparency sees RGBA on.
        whole: the subject this one is a view of, which holds what does not depend on the ground.
    """

    family: Family
    held_out: Images
    train: Images
    limit: int
    samples: int | None
    draws: int
    features: str
    show: Progress
    sampling: Mapping[str, Any] = field(default_factory=dict)
    ground: str = "white"
    whole: "Subject | None" = None

    def views(self) -> "list[Subject]":
        """The subject on white and on black, where the extractor's look at it depends on that."""
        # an extractor may have to be trained first: not for what nothing is measured of
        if self.held_out.channels != RGBA or len(self.pixels) < FEWEST:
            return [self]
        if self.extractor.laid is None:
            return [self]
        return [replace(self, ground=ground, whole=self) for ground in GROUNDS]

    @cached_property
    def pixels(self) -> Pixels:
        """Held-out images uint8 (n, H, W, C) in random order, since sets often come sorted."""
        return held_out_drawn(self.held_out, self.limit)

    @cached_property
    def train_drawn(self) -> NDArray[np.int64]:
        """Rows of ``train`` that are looked at: up to 5,000, in random order."""
        return drawn_rows(len(self.train), TRAIN_LOOKED_AT)

    @cached_property
    def train_pixels(self) -> Pixels:
        """The training images at ``train_drawn``."""
        return self.train.gather(self.train_drawn)

    @cached_property
    def extractor(self) -> Extractor:
        """The extractor, opened or trained when it is first asked for."""
        if self.whole is not None and self.whole.extractor.laid is not None:
            return self.whole.extractor.laid(self.ground)
        return open_extractor(self.features, self.held_out, self.show)

    @cached_property
    def real(self) -> Features:
        """Features of the held-out images."""
        return kept_features(self.extractor, self.pixels, self.show, "of held-out images")

    @cached_property
    def rebuilt(self) -> Features:
        """Features of the reconstructions of the held-out images."""
        return self.look(self.reconstructions, "of reconstructions")

    @cached_property
    def reconstructions(self) -> Pixels:
        """Reconstructions of the held-out images, in their form."""
        if self.whole is not None:
            return self.whole.reconstructions
        return reconstructed(self.family, self.pixels)

    @cached_property
    def real_looks(self) -> dict[str, Looks]:
        """Fine detail of the held-out images."""
        return look(self.pixels[:EYED])

    @cached_property
    def rebuilt_looks(self) -> dict[str, Looks]:
        """Fine detail of their reconstructions."""
        return look(self.reconstructions[:EYED])

    @cached_property
    def made_looks(self) -> dict[str, Looks]:
        """Fine detail of the samples."""
        return look(self.made.pixels[:EYED])

    @cached_property
    def other_looks(self) -> dict[str, Looks]:
        """Fine detail of as many training images as there are samples."""
        return look(self.train_pixels[: min(self.wanted, EYED)])

    @cached_property
    def seen(self) -> Features:
        """Features of the training images."""
        return kept_features(self.extractor, self.train_pixels, self.show, "of training images")

    @property
    def wanted(self) -> int:
        """How many samples to make.

        Raises:
            UsageError: more are asked for than there are held-out images to compare with.
        """
        there = len(self.pixels)
        wanted = min(MADE, there) if self.samples is None else self.samples
        if wanted > there:
            raise UsageError(
                f"{wanted} samples have only {there} held-out images to be compared with",
                where=f"samples={wanted}, limit={self.limit}",
                fix="ask for fewer samples, raise limit or bring more images",
            )
        return wanted

    @cached_property
    def made(self) -> Made:
        """The samples of a family that makes some."""
        if self.whole is not None:
            return self.whole.made
        parts, started, count = [], time.perf_counter(), self.wanted
        for at in range(0, count, BATCH):
            seeds = image_seeds(SEED + at, min(BATCH, count - at))
            parts.append(to_uint8(self.family.sample(seeds, **self.sampling)))  # type: ignore[operator]
            self.show.update(at + len(seeds), count, note="samples")
        return Made(np.concatenate(parts), time.perf_counter() - started)

    @cached_property
    def asked(self) -> Asked:
        """Captions of held-out images, in random order; none where there are none."""
        captions = self.held_out.captions_of(range(len(self.held_out))) or ()
        drawn = drawn_rows(len(captions), self.samples or PROMPTED).tolist()
        rows = [row for row in drawn if (captions[row] or "").strip()]
        return Asked(rows, [captions[row] or "" for row in rows])

    @cached_property
    def shown(self) -> Pixels:
        """Pictures uint8 (n, H, W, C) of a family that reads prompts, for the captions asked."""
        texts, parts = self.asked.captions, []
        for at in range(0, len(texts), BATCH):
            part = texts[at : at + BATCH]
            seeds = image_seeds(SEED + at, len(part))
            made = self.family.sample(seeds, prompt=part, **self.sampling)  # type: ignore[operator]
            parts.append(to_uint8(made))
            self.show.update(at + len(part), len(texts), note="pictures for prompts")
        return np.concatenate(parts)

    @cached_property
    def points(self) -> Features:
        """Features of the samples."""
        return self.look(self.made.pixels, "of samples")

    def look(self, pixels: Pixels, note: str) -> Features:
        """Features of made images."""
        return kept_features(self.extractor, pixels, self.show, note)


def held_out_drawn(held_out: Images, limit: int) -> Pixels:
    """The first ``limit`` of the held-out images in the random order of every evaluation."""
    return held_out.gather(drawn_rows(len(held_out), limit))


def drawn_rows(count: int, limit: int) -> NDArray[np.int64]:
    """Up to ``limit`` of the rows 0 to ``count`` - 1 at random, the same at every call."""
    return np.random.default_rng(0).permutation(count)[:limit]
