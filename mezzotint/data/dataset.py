"""A packed set of images: one memory map of pixels and what is known about each image."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.entry import Skip

Pixels: TypeAlias = NDArray[np.uint8]
Rows: TypeAlias = NDArray[np.int64]

CLASSES_SHOWN = 12


@dataclass(frozen=True)
class Story:
    """How the pack came to its size and channels, in words for the user.

    Attributes:
        size: where the size comes from, for example ``from 8x8``.
        channels: why there are so many channels.
        warnings: whole sentences about things the user should know.
    """

    size: str = ""
    channels: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one size, packed, and the rows of the pack that this set consists of.

    Attributes:
        pixels: (N, H, W, C) uint8 with C in 1, 3, 4; the whole pack, shared by all subsets.
        rows: (n,) int64 rows of the pack; image i of this set is ``pixels[rows[i]]``.
        labels: (N,) int64 class index per image of the pack, -1 for none; None without classes.
        classes: class names, indexed by label.
        captions: one caption or None per image of the pack; None when there are none at all.
        names: one printable name per image of the pack.
        train_rows: (t,) int64 rows of the pack on the training side.
        held_out_rows: (h,) int64 rows of the pack on the held-out side.
        fingerprint: SHA-256 hex over pixels, labels, captions, split and settings.
        spec: what the user named.
        skipped: files left out, with the reason.
        story: how size and channels came about.
    """

    pixels: Pixels
    rows: Rows
    labels: Rows | None
    classes: tuple[str, ...]
    captions: tuple[str | None, ...] | None
    names: tuple[str, ...]
    train_rows: Rows
    held_out_rows: Rows
    fingerprint: str
    spec: str
    skipped: tuple[Skip, ...] = ()
    story: Story = Story()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB, 4 for RGBA."""
        return int(self.pixels.shape[3])

    @property
    def train(self) -> "Images":
        """The training side of this set, sharing memory with it."""
        return replace(self, rows=_common(self.rows, self.train_rows))

    @property
    def held_out(self) -> "Images":
        """The held-out side of this set, sharing memory with it."""
        return replace(self, rows=_common(self.rows, self.held_out_rows))

    def subset(self, rows: Sequence[int] | Rows) -> "Images":
        """The images at ``rows`` (relative to this set), sharing memory with it."""
        return replace(self, rows=self._pack_rows(rows))

    def gather(self, rows: Sequence[int] | Rows) -> Pixels:
        """Copy the images at ``rows`` (relative to this set) into one (n, H, W, C) uint8 array.

        Raises:
            IndexError: a row is outside this set.
        """
        return np.take(np.asarray(self.pixels), self._pack_rows(rows), axis=0)

    def labels_of(self, rows: Sequence[int] | Rows) -> Rows | None:
        """(n,) int64 labels of the images at ``rows``, -1 for none; None without classes."""
        return None if self.labels is None else self.labels[self._pack_rows(rows)]

    def captions_of(self, rows: Sequence[int] | Rows) -> tuple[str | None, ...] | None:
        """Captions of the images at ``rows``, None where there is none."""
        if self.captions is None:
            return None
        return tuple(self.captions[row] for row in self._pack_rows(rows))

    def names_of(self, rows: Sequence[int] | Rows) -> tuple[str, ...]:
        """Names of the images at ``rows`` (relative to this set)."""
        return tuple(self.names[row] for row in self._pack_rows(rows))

    def describe(self) -> list[str]:
        """What a user should know before training, one fact a line."""
        lines = [_counts_line(self), _size_line(self), _channels_line(self)]
        lines += [*_classes_lines(self), *_captions_lines(self), *_skipped_lines(self.skipped)]
        return lines + [f"note: {warning}" for warning in self.story.warnings]

    def _pack_rows(self, rows: Sequence[int] | Rows) -> Rows:
        return self.rows[np.asarray(rows, dtype=np.int64)]


def _common(rows: Rows, side: Rows) -> Rows:
    """The members of ``rows`` that are in ``side``, in the order of ``rows``."""
    return rows[np.isin(rows, side)]


def _counts_line(images: Images) -> str:
    train, held_out = len(images.train), len(images.held_out)
    many = f"{len(images):,} image{'' if len(images) == 1 else 's'}"
    return f"{many}: {train:,} for training, {held_out:,} held out"


def _size_line(images: Images) -> str:
    height, width = images.size
    origin = f" ({images.story.size})" if images.story.size else ""
    return f"size: {width}x{height} pixels{origin}"


def _channels_line(images: Images) -> str:
    kind = {1: "1 (grey)", 3: "3 (RGB)", 4: "4 (RGBA)"}[images.channels]
    why = f", {images.story.channels}" if images.story.channels else ""
    return f"channels: {kind}{why}"


def _classes_lines(images: Images) -> list[str]:
    if images.labels is None:
        return ["classes: none"]
    counts = Counter(images.labels[images.rows].tolist())
    shown = [f"{name} ({counts[at]:,})" for at, name in enumerate(images.classes[:CLASSES_SHOWN])]
    more = len(images.classes) - len(shown)
    tail = f", and {more:,} more" if more else ""
    bare = f"; {counts[-1]:,} images without a class" if counts[-1] else ""
    return [f"classes: {len(images.classes)}: {', '.join(shown)}{tail}{bare}"]


def _captions_lines(images: Images) -> list[str]:
    if images.captions is None:
        return []
    present = sum(images.captions[row] is not None for row in images.rows)
    return [f"captions: on {present:,} of {len(images):,} images"]


def _skipped_lines(skipped: Iterable[Skip]) -> list[str]:
    reasons = Counter(skip.reason for skip in skipped)
    if not reasons:
        return []
    parts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return [f"skipped: {sum(reasons.values()):,} files ({parts})"]
