"""Open a packed set of images; what its index says is checked before it is believed."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.data.dataset import Images, Pixels, Rows, Story
from mezzotint.data.entry import Skip
from mezzotint.data.packs import INDEX, PIXELS, is_whole
from mezzotint.errors import DataError

FORMAT = 1
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, OverflowError, RecursionError)


def index_of(images: Images) -> dict[str, Any]:
    """All of a set but its pixels, as JSON data."""
    labels = None if images.labels is None else images.labels.tolist()
    return {
        "format": FORMAT,
        "count": len(images.names),
        "names": list(images.names),
        "labels": labels,
        "classes": list(images.classes),
        "captions": None if images.captions is None else list(images.captions),
        "train": images.train_rows.tolist(),
        "held_out": images.held_out_rows.tolist(),
        "fingerprint": images.fingerprint,
        "spec": images.spec,
        "skipped": [[skip.name, skip.reason, skip.detail] for skip in images.skipped],
        "size_story": images.story.size,
        "channels_story": images.story.channels,
        "warnings": list(images.story.warnings),
    }


def open_pack(folder: Path) -> Images:
    """The images of a pack; the pixels stay on disk and are mapped into memory.

    Raises:
        DataError: a file is missing, cut short, or its content contradicts itself.
    """
    if not is_whole(folder):
        raise _damaged(folder, "a file is missing or was changed")
    try:
        pixels = np.load(folder / PIXELS, mmap_mode="r", allow_pickle=False)
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return _images(_checked_pixels(pixels), index)
    except UNREADABLE as error:
        raise _damaged(folder, str(error)) from error


def _damaged(folder: Path, why: str) -> DataError:
    return DataError(
        f"this pack of images is damaged: {why}",
        where=str(folder),
        fix="make it again from its source with 'mezzotint data pack'",
    )


def _checked_pixels(pixels: Any) -> Pixels:
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3, 4):
        raise ValueError(f"the array is {pixels.dtype} of shape {pixels.shape}")
    checked: Pixels = pixels
    return checked


def _images(pixels: Pixels, index: dict[str, Any]) -> Images:
    count = len(pixels)
    if index["format"] != FORMAT or index["count"] != count or not count:
        raise ValueError("the index belongs to another version or another array")
    classes = tuple(_texts(index["classes"]))
    labels = index["labels"]
    return Images(
        pixels=pixels,
        rows=np.arange(count, dtype=np.int64),
        labels=None if labels is None else _numbers(labels, -1, len(classes), count),
        classes=classes,
        captions=_captions(index["captions"], count),
        names=tuple(_texts(index["names"], count)),
        train_rows=_numbers(index["train"], 0, count),
        held_out_rows=_numbers(index["held_out"], 0, count),
        fingerprint=str(index["fingerprint"]),
        spec=str(index["spec"]),
        skipped=tuple(Skip(*_texts(skip, 3)) for skip in index["skipped"]),
        story=_story(index),
    )


def _story(index: dict[str, Any]) -> Story:
    warnings = tuple(_texts(index["warnings"]))
    return Story(str(index["size_story"]), str(index["channels_story"]), warnings)


def _numbers(values: Any, low: int, high: int, count: int | None = None) -> Rows:
    """Whole numbers in [low, high), ``count`` of them when that is given."""
    array = np.array(_sequence(values, count), dtype=np.int64)
    if array.size and (array.min() < low or array.max() >= high):
        raise ValueError("a number in the index is out of range")
    return array


def _captions(values: Any, count: int) -> tuple[str | None, ...] | None:
    if values is None:
        return None
    return tuple(_each(values, lambda value: value is None or isinstance(value, str), count))


def _texts(values: Any, count: int | None = None) -> Sequence[str]:
    return _each(values, lambda value: isinstance(value, str), count)


def _each(values: Any, fits: Callable[[Any], bool], count: int | None) -> Sequence[Any]:
    if not all(map(fits, _sequence(values, count))):
        raise ValueError("a value in the index has the wrong type")
    sequence: Sequence[Any] = values
    return sequence


def _sequence(values: Any, count: int | None) -> list[Any]:
    if not isinstance(values, list) or (count is not None and len(values) != count):
        raise ValueError("a list in the index has the wrong length")
    return values
