"""The extractors a user can name, and what they gave before."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from mezzotint.alpha import RGBA
from mezzotint.data.cache import cache_home
from mezzotint.data.dataset import Images
from mezzotint.errors import MezzotintError, UsageError, nearest
from mezzotint.features.extractor import (
    Extractor,
    Features,
    Pixels,
    extract,
    levels,
    resized,
    rule_digest,
)
from mezzotint.features.judging import open_data_features
from mezzotint.features.pretrained import open_lite
from mezzotint.progress import Progress
from mezzotint.storage.files import make_folder, replace_bytes
from mezzotint.storage.weights import load_tensors

PIXELS_SIDE = 16
MOST_KEPT = 2 << 30
Opener = Callable[[Images, Progress], Extractor]


def open_pixels(images: Images) -> Extractor:
    """The values themselves, at 16 pixels a side at the most, in [0, 1]."""
    side = min(PIXELS_SIDE, *images.size)
    rule = f"antialiased bicubic to {side}x{side}"
    rule += " of colour times alpha" if images.channels == RGBA else ""

    def look(pixels: Pixels) -> Tensor:
        return resized(levels(pixels) / 255, side).flatten(1)

    return Extractor("pixels", rule_digest(rule), rule, look)


EXTRACTORS: dict[str, Opener] = {
    "data": open_data_features,
    "effnet-lite0": lambda images, show: open_lite(images),
    "pixels": lambda images, show: open_pixels(images),
}


def require_extractor(name: str) -> None:
    """Check a name before any work.

    Raises:
        UsageError: there is no such extractor.
    """
    if name not in EXTRACTORS:
        raise UsageError(f"there are no features '{name}'", "features", nearest(name, EXTRACTORS))


def open_extractor(name: str, images: Images, show: Progress) -> Extractor:
    """The extractor of a name, for images like these.

    Args:
        images: any part of the set that is measured; ``data`` learns from its training side.
        show: where progress goes.

    Raises:
        UsageError: there is no such extractor.
        MissingExtraError, MissingInputError, DataError: its weights are not there, or others.
        StorageError, CannotCreateError: the cache cannot be written.
    """
    require_extractor(name)
    return EXTRACTORS[name](images, show)


def kept_features(extractor: Extractor, pixels: Pixels, show: Progress, note: str) -> Features:
    """Features of images, kept in the cache by the hashes of the extractor and the pixels.

    The cache of features keeps the newest ``MOST_KEPT`` bytes.

    Raises:
        StorageError, CannotCreateError: the cache cannot be written.
    """
    told = f"{extractor.sha256} {extractor.resize} {pixels.shape}"
    digest = hashlib.sha256(told.encode() + np.ascontiguousarray(pixels).tobytes())
    file = cache_home() / "features" / f"{extractor.name}-{digest.hexdigest()[:32]}.safetensors"
    if file.is_file():
        try:
            return load_tensors(file)["features"].numpy()
        except (MezzotintError, KeyError):
            pass  # a damaged cache is made anew
    found = extract(extractor, pixels, show, note)
    make_folder(file.parent)
    replace_bytes(file, save({"features": torch.from_numpy(found)}))
    _make_room(file.parent)
    return found


def _make_room(folder: Path) -> None:
    """Remove the oldest files until no more than ``MOST_KEPT`` bytes are left."""
    files = sorted(folder.glob("*.safetensors"), key=lambda file: -_age(file)[0])
    held = 0
    for file in files:
        held += _age(file)[1]
        if held > MOST_KEPT:
            file.unlink(missing_ok=True)


def _age(file: Path) -> tuple[float, int]:
    """When a file was written and its bytes; nothing of one that another process removed."""
    try:
        told = file.stat()
    except FileNotFoundError:
        return 0.0, 0
    return told.st_mtime, told.st_size
