"""Images that come as arrays, whichever file or program they come from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.dataset import Images
from mezzotint.data.entry import Entry, Skip, Split
from mezzotint.data.survey import Survey, content_digest, uniform_survey
from mezzotint.errors import DataError

CHANNELS = (1, 3, 4)
CHUNK = 4096
ACCEPTED = (
    "accepted: uint8 (or bool, or float in [0, 1]) of shape (N, H, W), (N, H, W, C) or"
    " (N, C, H, W) with C in 1, 3, 4"
)


@dataclass(eq=False)
class ArraySource:
    """A source over one array.

    Attributes:
        spec: what the user typed.
        pixels: (N, H, W, C) of uint8, bool, or float in [0, 1]; may be a memory map.
        entries: one per image.
        stamp: digest of the listing, empty when the array lives in memory only.
        classes: class names in label order; empty to sort them by name.
        skipped: always empty.
        parallel: False: reading is a copy, too cheap to hand to other processes.
    """

    spec: str
    pixels: NDArray[Any]
    entries: Sequence[Entry]
    stamp: str = ""
    classes: tuple[str, ...] = ()
    skipped: Sequence[Skip] = ()
    parallel: bool = field(default=False, init=False)

    def read(self, index: int) -> np.ndarray:
        """Pixels of one image as uint8 (H, W, C)."""
        return to_bytes(self.pixels[index])

    def survey(self) -> Survey:
        """What the store must know, from the array as a whole."""
        total = hashlib.sha256(repr(self.pixels.shape).encode())
        for start in range(0, len(self.pixels), CHUNK):
            total.update(np.ascontiguousarray(to_bytes(self.pixels[start : start + CHUNK])).data)
        digests = [total.hexdigest()] + [""] * (len(self.entries) - 1)
        content = content_digest(self.entries, digests, self.classes)
        count, height, width, channels = self.pixels.shape
        return uniform_survey(content, count, (height, width), channels)


def to_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8 from uint8, bool, or float in [0, 1]."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(pixels.astype(np.float32) * 255).astype(np.uint8)


def as_nhwc(array: NDArray[Any], where: str) -> NDArray[Any]:
    """A view of an array of images as (N, H, W, C), after checking its type and range.

    Raises:
        DataError: another type, range or shape, or a shape that could be read two ways.
    """
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        raise _refused(f"an array of shape {array.shape} holds no images", where)
    _check_type(array, where)
    return _channels_last(array, where)


def _channels_last(array: NDArray[Any], where: str) -> NDArray[Any]:
    last, first = array.shape[3] in CHANNELS, array.shape[1] in CHANNELS
    if last and first and array.shape[3] != 1:
        raise _refused(f"shape {array.shape} could be NHWC or NCHW", where)
    if last:
        return array
    if first:
        return np.moveaxis(array, 1, 3)
    raise _refused(f"shape {array.shape} has no axis of 1, 3 or 4 channels", where)


def _check_type(array: NDArray[Any], where: str) -> None:
    if array.dtype in (np.uint8, np.bool_):
        return
    if array.dtype.kind != "f":
        raise _refused(f"values of type {array.dtype}", where)
    lowest, highest = _range(array)
    if not (lowest >= 0 and highest <= 1):
        raise _refused(f"float values from {lowest:.4g} to {highest:.4g}", where)


def _range(array: NDArray[Any]) -> tuple[float, float]:
    """Least and greatest value, NaN when any is; in chunks, since the array may be on disk."""
    chunks = [array[start : start + CHUNK] for start in range(0, len(array), CHUNK)]
    lows, highs = [chunk.min() for chunk in chunks], [chunk.max() for chunk in chunks]
    return float(np.min(lows)), float(np.max(highs))


def _refused(what: str, where: str) -> DataError:
    return DataError(f"these images cannot be used: {what}", where=where, fix=ACCEPTED)


def entries_for(
    count: int,
    labels: Sequence[str | None] | None = None,
    captions: Sequence[str | None] | None = None,
    sides: Sequence[Split | None] | None = None,
) -> list[Entry]:
    """Entries with made-up names for images that have none."""
    blank: list[None] = [None] * count
    columns = zip(labels or blank, captions or blank, sides or blank, strict=True)
    return [Entry(f"{at:05d}", *column) for at, column in enumerate(columns)]


def array_source(array: NDArray[Any], spec: str = "array") -> ArraySource:
    """A source over an array in memory.

    Raises:
        DataError: the array cannot be read as images.
    """
    pixels = as_nhwc(np.asarray(array), spec)
    return ArraySource(spec, pixels, entries_for(len(pixels)))


def images_source(images: Images) -> ArraySource:
    """A source over images that are packed already, with their labels, captions and split."""
    every = range(len(images))
    labels = images.labels_of(every)
    classes = [*images.classes, None]
    held_out = set(images.held_out_rows.tolist())
    entries = [
        Entry(name, label, caption, "held_out" if row in held_out else "train")
        for name, label, caption, row in zip(
            images.names_of(every),
            [None] * len(images) if labels is None else [classes[at] for at in labels],
            images.captions_of(every) or [None] * len(images),
            images.rows.tolist(),
            strict=True,
        )
    ]
    whole = np.array_equal(images.rows, np.arange(len(images.pixels)))
    pixels = images.pixels if whole else images.gather(every)
    return ArraySource(images.spec, pixels, entries, "", images.classes)


def label_name(value: Any, classes: Sequence[str] | None, where: str) -> str | None:
    """The class name of one stored label; whole numbers index ``classes``, -1 means none.

    Raises:
        DataError: the number lies outside ``classes``.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return str(value)
    if value == -1:
        return None
    if classes is None:
        return str(value)
    if not 0 <= value < len(classes):
        raise DataError(f"label {value} and {len(classes)} class names", where=where)
    return str(classes[value])
