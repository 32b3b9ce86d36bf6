"""What a family needs of each training image at every step, found once and kept on disk."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

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
Rows = NDArray[np.float32] | NDArray[np.int64]
Watch = Callable[[int, int], None]


def known_rows(
    family: Family, train: Images, recipe: Recipe, folder: RunFolder, show: Progress
) -> dict[str, Rows]:
    """Rows by name for each training image; nothing for a family that needs none.

    Args:
        family: on the device where it computes.
        train: images and captions.
        recipe: images that it moves or mirrors have to be looked at anew at each step.
        folder: of the run; what comes of images is kept in ``cache/`` and found again.
        show: where progress goes.

    Raises:
        StorageError, CannotCreateError: the cache cannot be written.
    """
    if not isinstance(family, Caches):
        return {}
    found = _of_captions(family, train)
    if recipe.flip or recipe.jitter:
        return found

    def watch(done: int, total: int) -> None:
        show.update(0, 1, f"looking at image {done:,} of {total:,}")

    return {**found, **_of_images(family, train, folder, watch)}


def _of_captions(family: Caches, train: Images) -> dict[str, Rows]:
    captions = train.captions_of(range(len(train))) or (None,) * len(train)
    return {name: rows.cpu().numpy() for name, rows in family.known_of_captions(captions).items()}


def _of_images(family: Family, train: Images, folder: RunFolder, watch: Watch) -> dict[str, Rows]:
    place = folder.path / "cache" / _digest(family, train)
    if not place.is_dir():
        _write(family, train, place, watch)
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(place.glob("*.npy"))}


def _digest(family: Family, train: Images) -> str:
    """Of all that a cache is made of: the images, their order, and the weights that stay."""
    settings = json.dumps(to_dict(family.config), sort_keys=True)
    digest = hashlib.sha256(f"{train.fingerprint} {family.kind} {settings}".encode())
    digest.update(np.ascontiguousarray(train.rows).tobytes())
    kept = {id(tensor) for tensor in family.parameters() if tensor.requires_grad}
    for name, tensor in family.state_dict(keep_vars=True).items():
        if id(tensor) not in kept:
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _write(family: Family, train: Images, place: Path, watch: Watch) -> None:
    """A folder that appears whole, by a rename."""
    building = place.with_name(f".{place.name}.tmp")
    make_folder(building)
    files: dict[str, np.memmap] = {}
    with storing(place):
        for start, rows in _parts(family, train, watch):
            for name, part in rows.items():
                if name not in files:
                    shape = (len(train), *part.shape[1:])
                    files[name] = np.lib.format.open_memmap(
                        building / f"{name}.npy", "w+", np.float32, shape
                    )
                files[name][start : start + len(part)] = part.float().cpu().numpy()
        for file in files.values():
            file.flush()
        building.rename(place)


@torch.inference_mode()
def _parts(
    family: Family, train: Images, watch: Watch
) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
    assert isinstance(family, Caches)  # noqa: S101 - asked for by the caller
    for start in range(0, len(train), PART):
        rows = range(start, min(start + PART, len(train)))
        yield start, family.known_of_images(to_float(train.gather(rows)).to(family.device))
        watch(rows.stop, len(train))
