"""Images in numpy's files, ``.npy`` and ``.npz``; nothing in them is ever unpickled."""

import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.arrays import ArraySource, as_nhwc, entries_for, label_name, to_bytes
from mezzotint.data.entry import Split
from mezzotint.errors import DataError

UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
IMAGE_KEYS = ("images", "x", "x_train", "train_images", "arr_0")
LABEL_KEYS = ("labels", "y", "y_train", "train_labels", "arr_1")
HELD_IMAGE_KEYS = ("x_test", "test_images")
HELD_LABEL_KEYS = ("y_test", "test_labels")


def open_npy(path: Path, spec: str, stamp: str) -> ArraySource:
    """A source over a ``.npy`` file, left on disk.

    Raises:
        DataError: not an array file, or not images.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise DataError(f"not a readable array file: {error}", where=str(path)) from error
    pixels = as_nhwc(array, str(path))
    return ArraySource(spec, pixels, entries_for(len(pixels)), stamp)


def open_npz(path: Path, spec: str, stamp: str) -> ArraySource:
    """A source over an ``.npz`` file with images, and optionally labels, classes and captions.

    Keys: ``images`` (or ``x``, ``x_train``, ``arr_0``), ``labels`` (``y``, ``y_train``),
    ``x_test`` and ``y_test`` for the held-out side, ``classes``, ``captions``.

    Raises:
        DataError: not an array file, a key is missing, or lengths differ.
    """
    arrays = _load_npz(path)
    where = str(path)
    images, labels = _pair(arrays, IMAGE_KEYS, LABEL_KEYS, where)
    if images is None:
        raise DataError(
            f"no images among the keys {', '.join(sorted(arrays)) or '(none)'}",
            where=where,
            fix=f"store them under one of: {', '.join(IMAGE_KEYS)}",
        )
    held, held_labels = _pair(arrays, HELD_IMAGE_KEYS, HELD_LABEL_KEYS, where)
    pixels, sides = _joined(images, held, where)
    classes = _texts(arrays.get("classes"), "classes", where)
    names = _label_names([labels, held_labels][: 1 + (held is not None)], classes, where)
    captions = _texts(arrays.get("captions"), "captions", where)
    _check_lengths(where, len(pixels), labels=names, captions=captions)
    entries = entries_for(len(pixels), names, captions, sides)
    return ArraySource(spec, pixels, entries, stamp, tuple(classes or ()))


def _load_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {IMAGE_KEYS[0]: loaded}
            return {key: loaded[key] for key in loaded.files}
    except UNREADABLE as error:
        raise DataError(f"not a readable array file: {error}", where=str(path)) from error


def _pair(
    arrays: Mapping[str, NDArray[Any]],
    image_keys: Sequence[str],
    label_keys: Sequence[str],
    where: str,
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    images = next((arrays[key] for key in image_keys if key in arrays), None)
    labels = next((arrays[key] for key in label_keys if key in arrays), None)
    if images is None:
        return None, None
    images = as_nhwc(images, where)
    if labels is not None:
        labels = labels.reshape(len(labels), -1)
        if labels.shape != (len(images), 1):
            raise DataError(
                f"{len(images)} images and labels of shape {labels.shape}",
                where=where,
                fix="give one label an image",
            )
    return images, labels


def _joined(
    images: NDArray[Any], held: NDArray[Any] | None, where: str
) -> tuple[NDArray[Any], list[Split | None] | None]:
    if held is None:
        return images, None
    if held.shape[1:] != images.shape[1:]:
        raise DataError(
            f"training images {images.shape[1:]} and test images {held.shape[1:]} differ",
            where=where,
        )
    sides: list[Split | None] = ["train"] * len(images)
    sides += ["held_out"] * len(held)
    return np.concatenate([to_bytes(images), to_bytes(held)]), sides


def _label_names(
    parts: Sequence[NDArray[Any] | None], classes: Sequence[str] | None, where: str
) -> list[str | None] | None:
    present = [part for part in parts if part is not None]
    if len(present) != len(parts):
        return None
    values = [value for part in present for value in part[:, 0].tolist()]
    return [label_name(value, classes, where) for value in values]


def _texts(array: NDArray[Any] | None, key: str, where: str) -> list[str] | None:
    if array is None:
        return None
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise DataError(f"'{key}' must be a list of texts, not {array.dtype}", where=where)
    return [str(text) for text in array.astype(str).tolist()]


def _check_lengths(where: str, count: int, **columns: Sequence[Any] | None) -> None:
    for key, column in columns.items():
        if column is not None and len(column) != count:
            raise DataError(f"{count} images and {len(column)} {key}", where=where)
