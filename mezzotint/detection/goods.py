"""Good images and their duties: to fit densities to, to set scales, to set the threshold.

The threshold's promise needs images that had no part in anything before it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.dataset import Images
from mezzotint.data.wholes import Wholes, require_tiles
from mezzotint.detection.layouts import GOOD, kinds_of
from mezzotint.errors import DataError
from mezzotint.features.extractor import Pixels

SCALE_SHARE, MOST_SCALING, LEAST_SCALING = 0.2, 50, 4
FEWEST = LEAST_SCALING + 1
LEAST_FITTED, MOST_FITTED = 100, 6000
FITTED_PIXELS = 1 << 25  # of the images that densities are fitted to

Held = TypeVar("Held", Pixels, Wholes)


@dataclass(frozen=True)
class Goods(Generic[Held]):
    """Good images by duty, each uint8 (n, H, W, C); or, to be scanned by tiles, whole pictures.

    Attributes:
        fitting: densities are fitted to them; the run may have seen them.
        scaling: the parts' scales are set by them.
        calibrating: the threshold is set by them.
        digests: of every image that had a part -> what it was used for.
    """

    fitting: Pixels
    scaling: Held
    calibrating: Held
    digests: dict[bytes, str]


def share_out(held_out: Images, trained: Images | None, most: int | None = None) -> Goods[Pixels]:
    """Give held-out images their duties: a fifth, 50 at most, sets scales, the rest the threshold.

    Args:
        held_out: images the run was not trained on; those equal to a training image are left out.
        trained: the run's training images, if they are at hand.
        most: set the threshold by so many at the most, drawn at random; None: by all that are left.

    Raises:
        DataError: too few are left to do anything, or not all of them are good.
    """
    require_good(held_out)
    pixels = held_out.gather(range(len(held_out)))
    seen = {} if trained is None else _digests(trained.gather(range(len(trained))), "trained on")
    fresh = pixels[[digest(image) not in seen for image in pixels]]
    if len(fresh) < FEWEST:
        raise _too_few(held_out.spec, len(fresh), len(held_out) - len(fresh))
    mixed = fresh[np.random.default_rng(0).permutation(len(fresh))]
    scaling = min(max(LEAST_SCALING, round(SCALE_SHARE * len(fresh))), MOST_SCALING)
    fitting = mixed[:scaling] if trained is None else trained.gather(drawn(trained))
    mixed = mixed if most is None else mixed[: scaling + most]
    used = seen | _digests(mixed, "calibrated on")
    return Goods(fitting, mixed[:scaling], mixed[scaling:], used)


def share_out_wholes(
    held_out: Wholes, trained: Sequence[bytes], fitting: Pixels | None, tile: int
) -> Goods[Wholes]:
    """The same for pictures that are scanned by tiles.

    Args:
        held_out: pictures; those whose files the run was trained on are left out.
        trained: digests of the files that the run was trained on, as far as they are known.
        fitting: tiles (n, tile, tile, C) of those, if they are at hand.
        tile: side of a tile.

    Raises:
        DataError: as :func:`share_out`, or one of the pictures is smaller than a tile.
    """
    require_good(held_out)
    require_tiles(held_out, tile)
    known, seen = whole_digests(held_out), dict.fromkeys(trained, "trained on")
    fresh = [at for at in range(len(held_out)) if known[at] not in seen]
    if len(fresh) < FEWEST:
        raise _too_few(held_out.source.spec, len(fresh), len(held_out) - len(fresh))
    mixed = np.random.default_rng(0).permutation(fresh).tolist()
    scaling = min(max(LEAST_SCALING, round(SCALE_SHARE * len(fresh))), MOST_SCALING)
    scales, rest = held_out.subset(mixed[:scaling]), held_out.subset(mixed[scaling:])
    tiles = some_tiles(scales, tile) if fitting is None else fitting
    used = seen | {known[at]: "calibrated on" for at in mixed}
    return Goods(tiles, scales, rest, used)


def whole_digests(pictures: Wholes) -> list[bytes]:
    """A digest of each picture's file."""
    return [bytes.fromhex(digest) for digest in pictures.digests]


def some_tiles(pictures: Wholes, tile: int) -> Pixels:
    """Squares from random places of every picture, ``LEAST_FITTED`` in all or so."""
    rng, found = np.random.default_rng(0), []
    each = -(-LEAST_FITTED // len(pictures))
    for at in range(len(pictures)):
        pixels = pictures.pixels(at)
        for _ in range(each):
            top, left = (int(rng.integers(side - tile + 1)) for side in pixels.shape[:2])
            found.append(pixels[top : top + tile, left : left + tile])
    return np.stack(found)


def require_good(images: Images | Wholes) -> None:
    """Check that no folder of good images is named beside one that is not.

    Raises:
        DataError: there are both.
    """
    present = {kind for kind in kinds_of(images) if kind is not None}
    other = sorted(kind for kind in present if kind.casefold() not in GOOD)
    if other and len(other) < len(present):
        raise DataError(
            f"the run's images are not all good: there is also '{other[0]}'",
            images.source.spec if isinstance(images, Wholes) else images.spec,
            "train on the folder of good images alone",
        )


def digest(image: NDArray[np.uint8]) -> bytes:
    """The SHA-256 of an image's pixels."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()


def _digests(pixels: Pixels, duty: str) -> dict[bytes, str]:
    return {digest(image): duty for image in pixels}


def drawn(images: Images) -> NDArray[np.int64]:
    """Rows of the images that densities are fitted to, drawn at random."""
    most = min(MOST_FITTED, max(LEAST_FITTED, FITTED_PIXELS // int(np.prod(images.size))))
    return np.random.default_rng(0).permutation(len(images))[:most]


def _too_few(spec: str, fresh: int, same: int) -> DataError:
    told = f" ({same} more are also training images)" if same else ""
    return DataError(
        f"{fresh} held-out good images are too few to calibrate on{told}",
        spec,
        f"bring {FEWEST} at least with --good; 1% false alarms take 124",
    )
