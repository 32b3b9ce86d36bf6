"""Checkpoints: folders that are complete or do not exist, verified before they are used.

``checkpoints/000200000/`` holds safetensors and ``state.json``; ``COMPLETE`` lists the SHA-256 of
each. It is built under another name and renamed, so a crash leaves the earlier ones untouched.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mezzotint.errors import DataError, MezzotintError
from mezzotint.storage import faults
from mezzotint.storage.files import (
    discard,
    file_digest,
    json_bytes,
    make_folder,
    storing,
    sweep,
    sync_folder,
    write_bytes,
)
from mezzotint.storage.readers import parse_json, read_small
from mezzotint.storage.weights import load_tensors, save_tensors

MARKER = "COMPLETE"
SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back.

    Attributes:
        path: its folder.
        tensors: file stem -> name -> tensor.
        state: what ``state.json`` holds.
    """

    path: Path
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def save(
    folder: Path, images: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> Path:
    """Write a complete checkpoint named after the images seen.

    Raises:
        StorageError, CannotCreateError: it cannot be written; nothing of it stays behind.
    """
    target = make_folder(folder) / f"{images:09d}"
    building = folder / f".{target.name}.{os.getpid()}.tmp"
    try:
        _fill(building, tensors, {"schema": SCHEMA, **state})
        with storing(target):
            faults.point("checkpoint.rename")
            if target.exists():
                discard(target)
            building.rename(target)
            sync_folder(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    faults.point("checkpoint.done")
    return target


def _fill(
    building: Path, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> None:
    make_folder(building)
    for stem, named in tensors.items():
        save_tensors(building / f"{stem}.safetensors", named)
        faults.point("checkpoint.file")
    with storing(building):
        write_bytes(building / "state.json", json_bytes(state))
        digests = {path.name: file_digest(path) for path in sorted(building.iterdir())}
        faults.point("checkpoint.marker")
        write_bytes(building / MARKER, json_bytes(digests))
        sync_folder(building)


def listing(folder: Path) -> list[Path]:
    """Checkpoint folders that carry a marker, oldest first."""
    return [path for path in _numbered(folder) if (path / MARKER).is_file()]


def _numbered(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))


def newest(folder: Path, until: int | None = None) -> Checkpoint | None:
    """The newest checkpoint whose files are all as they were written; None when there are none.

    Args:
        folder: of the checkpoints.
        until: images seen by the newest one that may be taken; None: any.

    Raises:
        DataError: there are checkpoints and every one is damaged.
    """
    found = [path for path in listing(folder) if until is None or int(path.name) <= until]
    for path in reversed(found):
        try:
            return load(path)
        except (MezzotintError, OSError) as error:
            reason = error
    if not found:
        return None
    raise DataError(
        f"every checkpoint of this run is damaged ({len(found)} tried)",
        where=str(folder),
        fix="put a copy of a checkpoint back, or remove the folder to start again",
    ) from reason


def load(path: Path) -> Checkpoint:
    """Read one checkpoint after checking every digest.

    Raises:
        DataError: a file is missing or differs from its digest.
        MissingInputError, ConfigError, RefusedError: a file cannot be read safely.
    """
    digests = parse_json(read_small(path / MARKER), path / MARKER)
    if not isinstance(digests, dict):
        raise DataError("the marker lists no files", where=str(path / MARKER))
    for name, digest in digests.items():
        file = path / Path(name).name
        if not file.is_file() or file_digest(file) != digest:
            raise DataError("a file of the checkpoint is damaged", where=str(file))
    state = parse_json(read_small(path / "state.json"), path / "state.json")
    stems = [Path(name).stem for name in digests if name.endswith(".safetensors")]
    return Checkpoint(path, {s: load_tensors(path / f"{s}.safetensors") for s in stems}, state)


def prune(folder: Path, keep: int, spared: int | None = None) -> None:
    """Remove all but the newest ``keep`` checkpoints, and what killed writers left.

    ``spared``: images seen by one more checkpoint that stays.
    """
    there = listing(folder)
    kept = there[-keep:] + [path for path in there if int(path.name) == spared]
    for path in _numbered(folder):
        if path not in kept:
            discard(path)
    sweep(folder)


def settle(folder: Path, newest_good: Path, keep: int, spared: int | None = None) -> list[Path]:
    """Make ``newest_good`` the newest checkpoint: those after it proved to be of no use.

    Left in place they would outlive, as the newest ones, the good ones written from here on.

    Returns:
        The later checkpoints, which are gone. ``spared``: see :func:`prune`.
    """
    damaged = [path for path in _numbered(folder) if int(path.name) > int(newest_good.name)]
    for path in damaged:
        discard(path)
    prune(folder, keep, spared)
    return damaged
