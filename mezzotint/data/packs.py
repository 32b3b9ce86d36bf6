"""The packed form of a set of images on disk: one array, one index, one marker."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mezzotint.data.dataset import Pixels
from mezzotint.errors import StorageError
from mezzotint.storage import faults
from mezzotint.storage.files import file_digest, make_folder, storing, sync_folder, write_bytes

PIXELS, INDEX, MARKER = "images.npy", "index.json", "COMPLETE"
MARGIN = 4 << 20


def is_pack(path: Path) -> bool:
    """Whether a folder looks like a pack, complete or not."""
    return (path / INDEX).is_file() and (path / PIXELS).is_file()


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what cannot be finished.

    Raises:
        StorageError: fewer than ``needed`` bytes are free, naming both numbers.
    """
    with storing(folder):
        free = shutil.disk_usage(folder).free
    if free < needed + MARGIN:
        raise no_space(folder, needed, free)


def no_space(folder: Path, needed: int, free: int) -> StorageError:
    """The error for a disk that is too full for a pack."""
    return StorageError(
        f"packing needs {needed:,} bytes and {free:,} are free",
        where=str(folder),
        fix="free some space, choose a smaller size, or set MEZZOTINT_HOME to another disk",
    )


@dataclass
class PixelWriter:
    """Appends images to an ``.npy`` file whose final length is known only at the end.

    Attributes:
        file: open for writing and seeking.
        shape: (H, W, C) of one image.
        count: images written so far.
    """

    file: BinaryIO
    shape: tuple[int, int, int]
    count: int = 0

    def append(self, pixels: Pixels) -> None:
        """Write a block of (k, H, W, C) uint8."""
        if not self.count:
            self._header()
        self.file.write(np.ascontiguousarray(pixels).data)
        self.count += len(pixels)

    def finish(self) -> None:
        """Put the true length into the header and make the file durable."""
        self.file.seek(0)
        self._header()
        self.file.flush()
        os.fsync(self.file.fileno())

    def _header(self) -> None:
        # numpy leaves room in the header for the first axis to grow, so its length stays the same.
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)


@contextlib.contextmanager
def building(final: Path, needed: int, replace_whole: bool = False) -> Iterator[Path]:
    """A folder to build in, moved to ``final`` when the block succeeds, removed when it fails.

    A damaged pack that is there is replaced, a whole one only with ``replace_whole``: another
    process made the same one meanwhile.

    Raises:
        StorageError, CannotCreateError: no space, or the folder cannot be written.
    """
    make_folder(final.parent)
    _sweep(final.parent)
    check_space(final.parent, needed)
    work = final.with_name(f".{final.name}.{_host()}.{os.getpid()}_{secrets.token_hex(4)}")
    try:
        with _storing(final.parent, needed):
            work.mkdir()
            yield work
            faults.point("pack.rename")
            _move(work, final, replace_whole)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _storing(folder: Path, needed: int) -> Iterator[None]:
    try:
        with storing(folder):
            yield
    except StorageError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise no_space(folder, needed, shutil.disk_usage(folder).free) from error.__cause__


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _sweep(folder: Path) -> None:
    """Remove what builders left that were killed on this machine."""
    import psutil

    for left in list(folder.glob(f".*.{_host()}.*")):
        match = re.search(r"\.(\d{1,9})_[0-9a-f]{8}(_old)?$", left.name)
        if match and not psutil.pid_exists(int(match[1])):
            shutil.rmtree(left, ignore_errors=True)


def _move(work: Path, final: Path, replace_whole: bool) -> None:
    """Rename into place; what stands there already was made at the same time, or is damaged."""
    try:
        work.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        if replace_whole or not is_whole(final):
            _replace(work, final)
    sync_folder(final.parent)


def _replace(work: Path, final: Path) -> None:
    old = work.with_name(f"{work.name}_old")
    final.rename(old)
    work.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def write_index(folder: Path, index: dict[str, Any]) -> None:
    """Write the index, then the marker that says both files are whole."""
    content = json.dumps(index).encode()
    write_bytes(folder / INDEX, content)
    marker = {PIXELS: (folder / PIXELS).stat().st_size, INDEX: hashlib.sha256(content).hexdigest()}
    write_bytes(folder / MARKER, json.dumps(marker).encode())
    sync_folder(folder)


def is_whole(folder: Path) -> bool:
    """Whether the marker is there and agrees with both files."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        sizes_agree = marker[PIXELS] == (folder / PIXELS).stat().st_size
        return bool(sizes_agree and marker[INDEX] == file_digest(folder / INDEX))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
