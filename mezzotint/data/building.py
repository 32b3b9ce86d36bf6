"""Build a pack: decode every image of a source, decide the split, write pixels and index."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from mezzotint.data.dataset import Images, Pixels, Rows, Story
from mezzotint.data.entry import Entry, Skip, Source
from mezzotint.data.opening import index_of, open_pack
from mezzotint.data.packs import PIXELS, PixelWriter, building, write_index
from mezzotint.data.splits import split_by_content, split_by_source
from mezzotint.data.survey import Survey
from mezzotint.data.work import Drawn, Recipe, draw, in_parts
from mezzotint.errors import DataError
from mezzotint.storage import faults

Progress = Callable[[int, int], None]
CHUNK = 4096
LONGEST_NUMBER = 18
PART_BYTES = 8 << 20  # pixels in memory at a time, for each process
ROOM_PER_IMAGE = 256  # bytes an image may take in the index, generously
SMALL = "too few different images to hold any out: training and held-out images are the same"


@dataclass
class Tally:
    """What building has found so far, image by image."""

    entries: list[Entry] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Images that have been tried."""
        return len(self.entries) + len(self.skipped)

    def add(self, drawn: Drawn) -> None:
        """Count one part of the source."""
        self.entries += drawn.kept
        self.digests += drawn.digests
        self.skipped += drawn.skipped


def build(
    source: Source,
    survey: Survey,
    recipe: Recipe,
    folder: Path,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Images:
    """Pack a source into ``folder`` and open it.

    Raises:
        DataError: not one image can be decoded.
        StorageError, CannotCreateError: the pack cannot be written.
    """
    each = int(np.prod(recipe.size)) * recipe.channels
    needed = survey.count * (each + ROOM_PER_IMAGE)
    rows = survey.rows(len(source.entries))
    with building(folder, needed) as work:
        most = max(1, PART_BYTES // each)
        drawn = in_parts(draw, source, rows, recipe, workers=workers, most=most)
        tally = _write_pixels(drawn, work / PIXELS, recipe, survey.count, progress)
        if not tally.entries:
            raise none_left(source, [skip.reason for skip in tally.skipped])
        pixels = np.load(work / PIXELS, mmap_mode="r", allow_pickle=False)
        classes = getattr(source, "classes", ())
        write_index(work, index_of(assemble(pixels, tally, classes, recipe)))
    return open_pack(folder)


def write_pack(images: Images, folder: Path) -> None:
    """Copy a set of images into a pack of its own.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    room = int(np.prod(images.pixels.shape[1:])) + ROOM_PER_IMAGE
    with building(folder, len(images) * room, replace_whole=True) as work:
        with (work / PIXELS).open("wb") as file:
            writer = PixelWriter(file, images.pixels.shape[1:])
            for start in range(0, len(images), CHUNK):
                writer.append(images.gather(range(len(images))[start : start + CHUNK]))
            writer.finish()
        write_index(work, index_of(compact(images)))


def compact(images: Images) -> Images:
    """The same set with everything outside it left out; its pixels are not looked at."""
    every = range(len(images))
    where = {int(row): at for at, row in enumerate(images.rows)}
    sides = [
        np.array([where[row] for row in side.tolist() if row in where], dtype=np.int64)
        for side in (images.train_rows, images.held_out_rows)
    ]
    return replace(
        images,
        rows=np.arange(len(images), dtype=np.int64),
        names=images.names_of(every),
        labels=images.labels_of(every),
        captions=images.captions_of(every),
        train_rows=sides[0],
        held_out_rows=sides[1],
    )


def _write_pixels(
    parts: Iterable[Drawn], path: Path, recipe: Recipe, count: int, progress: Progress | None
) -> Tally:
    tally = Tally()
    with path.open("wb") as file:
        writer = PixelWriter(file, (*recipe.size, recipe.channels))
        for drawn in parts:
            writer.append(drawn.pixels)
            tally.add(drawn)
            faults.point("pack.part")
            if progress is not None:
                progress(tally.done, count)
        writer.finish()
    return tally


def none_left(source: Source, reasons: Iterable[str]) -> DataError:
    """The error for a source of which no image can be used."""
    counts = Counter(reasons)
    parts = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
    return DataError(
        f"not one of {len(source.entries):,} images can be read ({parts})",
        where=source.spec,
        fix="'mezzotint data check' lists what is wrong with each file",
    )


def assemble(pixels: Pixels, tally: Tally, classes: Sequence[str], recipe: Recipe) -> Images:
    """Everything known of packed images as one set."""
    classes, labels = label_rows([entry.label for entry in tally.entries], classes)
    captions = tuple(entry.caption for entry in tally.entries)
    train, held_out, warnings = _sides(tally)
    every = np.arange(len(pixels), dtype=np.int64)
    return Images(
        pixels=pixels,
        rows=every,
        labels=labels,
        classes=classes,
        captions=captions if any(captions) else None,
        names=tuple(entry.name for entry in tally.entries),
        train_rows=train,
        held_out_rows=held_out,
        fingerprint=_fingerprint(tally, classes, held_out, recipe),
        spec="",
        skipped=tuple(tally.skipped),
        story=Story(warnings=warnings),
    )


def _sides(tally: Tally) -> tuple[Rows, Rows, tuple[str, ...]]:
    """Rows to train on, rows held out, and a warning when they had to be the same."""
    held_out = split_by_source([entry.split for entry in tally.entries])
    if held_out is None:
        held_out = split_by_content(tally.digests)
    if not held_out.any():
        every = np.arange(len(tally.digests), dtype=np.int64)
        return every, every, (SMALL,)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out), ()


def label_rows(
    labels: Sequence[str | None], classes: Sequence[str]
) -> tuple[tuple[str, ...], Rows | None]:
    """Class names in order, and (n,) int64 indices into them, -1 for none.

    Names that the source does not order itself are sorted, whole numbers by value.
    """
    present = {label for label in labels if label is not None}
    if not present:
        return (), None
    known = set(classes)
    order = (*classes, *sorted(present - known, key=class_order))
    index = {name: at for at, name in enumerate(order)}
    rows = [-1 if label is None else index[label] for label in labels]
    return order, np.array(rows, dtype=np.int64)


def class_order(name: str) -> tuple[int, int, str]:
    """Sort key: whole numbers first and by value, then texts."""
    whole = name.isascii() and name.isdecimal() and len(name) <= LONGEST_NUMBER
    return (0, int(name), name) if whole else (1, 0, name)


def _fingerprint(tally: Tally, classes: Sequence[str], held_out: Rows, recipe: Recipe) -> str:
    total = hashlib.sha256(json.dumps([asdict(recipe), list(classes)], sort_keys=True).encode())
    for entry, digest in zip(tally.entries, tally.digests, strict=True):
        total.update(digest + json.dumps([entry.label, entry.caption]).encode())
    total.update(held_out.astype("<i8").tobytes())
    return total.hexdigest()
