"""Averages a run keeps on the way, so that their length can be chosen when it is over.

``averages/000200000.safetensors``, named after the images seen, holds two averages of all weights
and the optimiser step. A run keeps a number of them fixed beforehand, evenly over its length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mezzotint.errors import DataError
from mezzotint.storage import faults
from mezzotint.storage.files import make_folder
from mezzotint.storage.readers import inside
from mezzotint.storage.weights import load_number, load_tensors, replace_tensors
from mezzotint.training.profiles import WIDTHS, Mixture, Profile, mixture

STEP = "step"


@dataclass(frozen=True)
class Snapshot:
    """A file of averages and the optimiser step they were taken after."""

    path: Path
    step: int


def due(folder: Path, count: int, progress: float) -> bool:
    """Whether to take the next of ``count`` snapshots at this share of the run."""
    if count == 0:
        return False
    return progress >= 1 or len(files(folder)) < int(progress * count)


def take(
    folder: Path, images: int, step: int, averages: Mapping[float, Mapping[str, Tensor]]
) -> Path:
    """Write a snapshot, whole or not at all.

    Args:
        folder: where the run keeps them.
        images: seen so far.
        step: optimiser steps so far.
        averages: width -> name -> tensor.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    named = {_name(w, n): t for w, tensors in averages.items() for n, t in tensors.items()}
    path = make_folder(folder) / f"{images:09d}.safetensors"
    replace_tensors(path, {**named, STEP: torch.tensor(step)})
    faults.point("snapshot.done")
    return path


def rewind(folder: Path, images: int) -> None:
    """Remove the snapshots after ``images``: those steps are about to be done again."""
    for path in files(folder):
        if int(path.stem) > images:
            path.unlink()


def files(folder: Path) -> list[Path]:
    """The files of snapshots, oldest first."""
    found = folder.glob("*.safetensors") if folder.is_dir() else ()
    return sorted((path for path in found if path.stem.isdigit()), key=lambda path: int(path.stem))


def listing(folder: Path) -> list[Snapshot]:
    """The snapshots of a run, oldest first, their headers checked.

    Raises:
        RefusedError, DataError: a file leads out of the folder or is no snapshot.
    """
    return [Snapshot(path, _step(path)) for path in files(folder)]


def _step(path: Path) -> int:
    step = load_number(inside(path.parent, path.name), STEP)
    if not isinstance(step, int) or step < 1:
        raise _no_snapshot(path)
    return step


def _no_snapshot(path: Path) -> DataError:
    fix = "remove it, or put a good copy back"
    return DataError("not a snapshot of averages", where=str(path), fix=fix)


def stored(snapshot: Snapshot, width: float) -> dict[str, Tensor]:
    """The average of one width in a snapshot, by name.

    Raises:
        DataError: the file is damaged or holds no such average.
    """
    prefix = _name(width, "")
    tensors = load_tensors(snapshot.path)
    found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    if not found:
        raise _no_snapshot(snapshot.path)
    return found


def mix(stored: Sequence[Snapshot], length: float) -> tuple[dict[str, Tensor], Mixture]:
    """The average of a length at the end of training, out of the stored ones.

    Args:
        stored: snapshots, the last one at the end.
        length: sigma_rel, above 0 and at most 0.28.

    Returns:
        Name -> tensor, whole-number buffers as they ended; and how it was mixed.

    Raises:
        DataError: a file is damaged or holds other tensors than the rest.
    """
    profiles = [Profile(each.step, width) for each in stored for width in WIDTHS]
    found = mixture(profiles, Profile(stored[-1].step, length))
    total: dict[str, Tensor] = {}
    shares = iter(found.weights)
    for each in stored:
        tensors = load_tensors(each.path)
        for width in WIDTHS:
            _add(total, tensors, width, next(shares), each.path)
    last = load_tensors(stored[-1].path)
    kinds = {name: last[_name(WIDTHS[0], name)] for name in total}
    return {name: _cast(total[name], kinds[name]) for name in total}, found


def _add(
    total: dict[str, Tensor], tensors: Mapping[str, Tensor], width: float, share: float, path: Path
) -> None:
    prefix = _name(width, "")
    mine = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    if not mine or (
        total and {n: t.shape for n, t in total.items()} != {n: t.shape for n, t in mine.items()}
    ):
        raise _no_snapshot(path)
    for name, tensor in mine.items():
        total[name] = total.get(name, 0) + share * tensor.double()


def _cast(mixed: Tensor, like: Tensor) -> Tensor:
    return mixed.to(like.dtype) if like.is_floating_point() else like


def _name(width: float, name: str) -> str:
    return f"{width:g}/{name}"
