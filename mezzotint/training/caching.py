"""What a family needs of each training image at every step, found once and kept on disk."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.config import to_dict
from mezzotint.data.dataset import Images
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Caches
from mezzotint.images import to_float
from mezzotint.progress import Progress
from mezzotint.runs.folder import RunFolder
from mezzotint.storage.files import make_folder, storing
from mezzotint.training.recipe import Recipe

PART = 256
DTYPES: dict[bool, Any] = {True: np.dtype(np.float32), False: np.dtype(np.int64)}
Rows = NDArray[np.float32] | NDArray[np.int64]
Look = Callable[[range], Mapping[str, Tensor]]


def known_rows(
    family: Family, train: Images, recipe: Recipe, folder: RunFolder, show: Progress
) -> dict[str, Rows]:
    """Rows by name for each training image; nothing for a family that needs none.

    Args:
        family: on the device where it computes.
        train: images and captions.
        recipe: images that it moves or mirrors have to be looked at anew at each step.
        folder: of the run; the rows are kept in ``cache/`` and found again.
        show: where progress goes.

    Raises:
        StorageError, CannotCreateError: the cache cannot be written.
    """
    if not isinstance(family, Caches):
        return {}
    captions = train.captions_of(range(len(train))) or (None,) * len(train)

    def read(rows: range) -> Mapping[str, Tensor]:
        show.update(0, 1, f"reading caption {rows.stop:,} of {len(train):,}")
        return family.known_of_captions(captions[rows.start : rows.stop])

    def look(rows: range) -> Mapping[str, Tensor]:
        show.update(0, 1, f"looking at image {rows.stop:,} of {len(train):,}")
        return family.known_of_images(to_float(train.gather(rows)).to(family.device))

    place, made_of = folder.path / "cache", _digest(family, train)
    found = _kept(place / f"captions-{made_of}", len(train), read)
    if recipe.flip or recipe.jitter:
        return found
    return {**found, **_kept(place / f"images-{made_of}", len(train), look)}


def _digest(family: Family, train: Images) -> str:
    """Of all that a cache is made of: images, captions, their order, and the weights that stay."""
    settings = json.dumps(to_dict(family.config), sort_keys=True)
    digest = hashlib.sha256(f"{train.fingerprint} {family.kind} {settings}".encode())
    digest.update(np.ascontiguousarray(train.rows).tobytes())
    kept = {id(tensor) for tensor in family.parameters() if tensor.requires_grad}
    for name, tensor in family.state_dict(keep_vars=True).items():
        if id(tensor) not in kept:
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _kept(place: Path, count: int, look: Look) -> dict[str, Rows]:
    """The rows of a folder, which is made if it is not there."""
    if not place.is_dir():
        _write(place, count, look)
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(place.glob("*.npy"))}


def _write(place: Path, count: int, look: Look) -> None:
    """A folder that appears whole, by a rename."""
    building = place.with_name(f".{place.name}.tmp")
    make_folder(building)
    files: dict[str, np.memmap] = {}
    with storing(place):
        for rows, name, part in _parts(count, look):
            if name not in files:
                files[name] = _empty(building / f"{name}.npy", count, part)
            files[name][rows.start : rows.stop] = _plain(part)
        for file in files.values():
            file.flush()
        building.rename(place)


def _empty(path: Path, count: int, part: Tensor) -> "np.memmap[Any, Any]":
    """A file of zeros for so many rows like those of a part."""
    kind, shape = DTYPES[part.is_floating_point()], (count, *part.shape[1:])
    return np.lib.format.open_memmap(path, "w+", kind, shape)


def _plain(part: Tensor) -> Rows:
    found: Rows = (part.float() if part.is_floating_point() else part).cpu().numpy()
    return found


@torch.inference_mode()
def _parts(count: int, look: Look) -> Iterator[tuple[range, str, Tensor]]:
    for start in range(0, count, PART):
        rows = range(start, min(start + PART, count))
        for name, part in look(rows).items():
            yield rows, name, part
