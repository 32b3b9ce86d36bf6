"""Folders of IDX files, the format of MNIST and its successors (Y. LeCun's MNIST page)."""

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.arrays import ArraySource, entries_for, label_name
from mezzotint.data.entry import Split
from mezzotint.errors import DataError

LIMIT = 8 << 30  # bytes of pixels in one file
PARTS: tuple[tuple[str, Split], ...] = (("train", "train"), ("t10k", "held_out"))
SPELLINGS = ("{part}-{what}-idx{axes}-ubyte", "{part}-{what}.idx{axes}-ubyte")


@dataclass(frozen=True)
class Half:
    """One side of an IDX set."""

    side: Split
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None


def is_idx_folder(folder: Path) -> bool:
    """Whether a folder holds IDX images under their usual names."""
    return any(_find(folder, part, "images", 3) for part, _ in PARTS)


def open_idx(folder: Path, spec: str, classes: Sequence[str] = ()) -> ArraySource:
    """A source over ``train-images-idx3-ubyte`` and ``t10k-...`` (plain or ``.gz``).

    Labels (``train-labels-idx1-ubyte``) are optional; without ``classes`` they are named by
    number. The ``t10k`` files are the held-out side.

    Raises:
        DataError: a header that contradicts the file, or labels that do not fit the images.
    """
    halves = [half for part, side in PARTS if (half := _half(folder, part, side)) is not None]
    shapes = {half.images.shape[1:] for half in halves}
    if len(shapes) != 1:
        raise DataError(f"images of different sizes: {shapes}", where=str(folder))
    names = _names(halves, classes, str(folder))
    sides: list[Split | None] = [half.side for half in halves for _ in range(len(half.images))]
    pixels = np.concatenate([half.images for half in halves])[..., None]
    entries = entries_for(len(pixels), names, sides=sides)
    return ArraySource(spec, pixels, entries, _stamp(folder), tuple(classes) if names else ())


def _names(halves: Sequence[Half], classes: Sequence[str], where: str) -> list[str | None] | None:
    labels = [half.labels for half in halves if half.labels is not None]
    if len(labels) != len(halves):
        return None
    values = np.concatenate(labels).tolist()
    names = {value: label_name(value, list(classes) or None, where) for value in set(values)}
    return [names[value] for value in values]


def _half(folder: Path, part: str, side: Split) -> Half | None:
    image_path = _find(folder, part, "images", 3)
    if image_path is None:
        return None
    images = read_idx(image_path, 3)
    label_path = _find(folder, part, "labels", 1)
    labels = None if label_path is None else read_idx(label_path, 1)
    if labels is not None and len(labels) != len(images):
        raise DataError(f"{len(images)} images and {len(labels)} labels", where=str(label_path))
    return Half(side, images, labels)


def _find(folder: Path, part: str, what: str, axes: int) -> Path | None:
    names = [pattern.format(part=part, what=what, axes=axes) for pattern in SPELLINGS]
    paths = [folder / f"{name}{ending}" for name in names for ending in ("", ".gz")]
    return next((path for path in paths if path.is_file()), None)


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes with ``axes`` dimensions.

    The header is two zero bytes, the type (8), the number of axes, and one big-endian 32-bit
    length an axis; then the values.

    Raises:
        DataError: another type or number of axes, or a length that contradicts the header.
    """
    content = _content(path)
    head = 4 + 4 * axes
    if len(content) < head or content[:4] != bytes((0, 0, 8, axes)):
        raise DataError(f"not an IDX file of bytes with {axes} axes", where=str(path))
    shape = tuple(np.frombuffer(content, ">u4", axes, 4).tolist())
    expected = head + int(np.prod(shape, dtype=object))
    if expected != len(content) or 0 in shape:
        raise DataError(
            f"its header says shape {shape}, which is {expected:,} bytes; it has {len(content):,}",
            where=str(path),
            fix="get the file again; it is cut short or damaged",
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read: {error}", where=str(path)) from error
    if len(content) > LIMIT:
        raise DataError(f"larger than {LIMIT:,} bytes", where=str(path))
    return content


def _stamp(folder: Path) -> str:
    """Digest of the listing of a folder of IDX files."""
    paths = [
        (part, what, axes) for part, _ in PARTS for what, axes in (("images", 3), ("labels", 1))
    ]
    found = [path for key in paths if (path := _find(folder, *key)) is not None]
    status = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in found]
    return hashlib.sha256(repr(status).encode("utf-8", "surrogateescape")).hexdigest()
