"""Writing files so that a crash leaves the old content or the new, never half of either."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mezzotint.errors import CannotCreateError, MezzotintError, StorageError
from mezzotint.storage import faults

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
_FORBIDDEN |= {errno.ENOENT, errno.ENAMETOOLONG}


def storage_error(error: OSError, path: Path) -> MezzotintError:
    """The user's error for an OSError met while writing ``path``."""
    if error.errno in _FULL:
        return StorageError(
            f"no space left to write ({_free_bytes(path)} bytes free)",
            where=str(path),
            fix="free some space and run the same command again; what was complete is kept",
        )
    if error.errno in _FORBIDDEN:
        fix = "choose another place, or allow writing there"
        return CannotCreateError(f"cannot write: {error.strerror}", where=str(path), fix=fix)
    fix = "look at the disk, then run the same command again; what was complete is kept"
    return StorageError(f"cannot write: {error.strerror or error}", where=str(path), fix=fix)


def _free_bytes(path: Path) -> int | str:
    for folder in path.absolute().parents:
        with contextlib.suppress(OSError):
            return shutil.disk_usage(folder).free
    return "unknown"


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into the user's error about ``path``."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def make_folder(path: Path) -> Path:
    """Create a folder and its parents.

    Raises:
        CannotCreateError: it cannot be created.
    """
    with storing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def sync_folder(path: Path) -> None:
    """Make the entries of a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write and fsync one file in place; for files inside a folder that is renamed later."""
    half = len(content) // 2
    with path.open("wb") as file:
        file.write(content[:half])
        faults.point("file.half")
        file.write(content[half:])
        file.flush()
        os.fsync(file.fileno())


def replace_bytes(path: Path, content: bytes) -> None:
    """Replace a file as one step: temporary neighbour, fsync, rename, fsync of the folder.

    Raises:
        StorageError, CannotCreateError: it cannot be written; the old content stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with storing(path):
            write_bytes(temporary, content)
            faults.point("replace.rename")
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a folder as one step: killed half-way, it leaves only what :func:`sweep` removes."""
    doomed = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    shutil.rmtree(doomed, ignore_errors=True)
    with storing(path):
        path.rename(doomed)
    faults.point("discard.half")
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder; call it only while no other writes there."""
    for path in folder.glob(".*.tmp"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def json_bytes(value: Any) -> bytes:
    """A value as readable UTF-8 JSON; non-finite numbers are an error, not bad JSON."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def replace_json(path: Path, value: Any) -> None:
    """Replace a JSON file as one step; same errors as :func:`replace_bytes`."""
    replace_bytes(path, json_bytes(value))


def file_digest(path: Path) -> str:
    """SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
