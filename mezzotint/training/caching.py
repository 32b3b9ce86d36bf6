"""What a family needs of each training image at every step, found once and kept on disk."""

import hashlib
import json
import time
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
from mezzotint.training.feeding import MIRRORED
from mezzotint.training.recipe import Recipe

PART = 256
LARGEST = 4 << 30  # bytes of what is kept of images; more is found anew at each step
Rows = NDArray[np.float16] | NDArray[np.float32] | NDArray[np.int64]
Look = Callable[[range], Mapping[str, Tensor]]


def known_rows(
    family: Family,
    train: Images,
    recipe: Recipe,
    folder: RunFolder,
    show: Progress,
    after: float = 0.0,
) -> dict[str, Rows]:
    """Rows by name for each training image; nothing for a family that needs none.

    Args:
        family: on the device where it computes.
        train: images and captions.
        recipe: images that it moves have to be looked at anew at each step; of images that
            it mirrors, both sides are kept.
        folder: of the run; the rows are kept in ``cache/`` and found again.
        show: where progress goes.
        after: seconds of work that come after it, where that is known.

    Raises:
        StorageError, CannotCreateError: the cache cannot be written.
    """
    if not isinstance(family, Caches):
        return {}
    captions = train.captions_of(range(len(train))) or (None,) * len(train)

    def read(rows: range) -> Mapping[str, Tensor]:
        return family.known_of_captions(captions[rows.start : rows.stop])

    def look(rows: range) -> Mapping[str, Tensor]:
        images = to_float(train.gather(rows)).to(family.device)
        found = {
            name: _small(part)
            for name, part in family.known_of_images(family.inward(images)).items()
        }
        if recipe.flip:
            other = family.known_of_images(family.inward(images.flip(-1)))
            found |= {MIRRORED + name: _small(part) for name, part in other.items()}
        return found

    place, made_of = folder.path / "cache", _digest(family, train)
    found: dict[str, Rows] = {}
    if read(range(1)):
        told = _told(read, "reading caption", len(train), show, after)
        found = _kept(place / f"captions-{made_of}", len(train), told)
    if recipe.jitter or _too_large(family, recipe, train, show):
        return found
    told = _told(look, "looking at image", len(train), show, after)
    sides = "both-" if recipe.flip else ""
    return {**found, **_kept(place / f"images-{sides}{made_of}", len(train), told)}


def _small(part: Tensor) -> Tensor:
    """Numbers of spread 1 in half precision: a tenth of a percent, and half of the disk."""
    return part.half() if part.is_floating_point() else part


@torch.inference_mode()
def _too_large(family: Caches, recipe: Recipe, train: Images, show: Progress) -> bool:
    """Whether what is known of all images is more than may lie on a disk; says so."""
    one = family.known_of_images(to_float(train.gather(range(1))).to(family.device))  # type: ignore[attr-defined]
    each = sum(_small(part).nbytes for part in one.values()) * (2 if recipe.flip else 1)
    whole = each * len(train)
    if whole <= LARGEST:
        return False
    show.say(
        f"warning: {whole / 2**30:.1f} GiB of latents are not kept ({LARGEST >> 30} GiB at the"
        " most); images are encoded anew at each step"
    )
    return True


def _told(look: Look, doing: str, count: int, show: Progress, after: float) -> Look:
    """The same look, telling how far it is; the time left where that after it is known."""
    started = time.monotonic()

    def looking(rows: range) -> Mapping[str, Tensor]:
        spent = time.monotonic() - started
        rest = spent * (count - rows.start) / max(rows.start, 1)
        show.update(0, 1, f"{doing} {rows.stop:,} of {count:,}", rest + after if after else 0)
        return look(rows)

    return looking


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
    shape = (count, *part.shape[1:])
    return np.lib.format.open_memmap(path, "w+", _plain(part).dtype, shape)


def _plain(part: Tensor) -> Rows:
    found: Rows = (part.float() if part.dtype == torch.bfloat16 else part).cpu().numpy()
    return found


@torch.inference_mode()
def _parts(count: int, look: Look) -> Iterator[tuple[range, str, Tensor]]:
    for start in range(0, count, PART):
        rows = range(start, min(start + PART, count))
        for name, part in look(rows).items():
            yield rows, name, part
