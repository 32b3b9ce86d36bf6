"""Good images and their duties: to fit densities to, to set scales, to set the threshold.

The threshold's promise needs images that had no part in anything before it.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.dataset import Images
from mezzotint.detection.layouts import GOOD, kinds_of
from mezzotint.errors import DataError
from mezzotint.features.extractor import Pixels

SCALE_SHARE, MOST_SCALING, LEAST_SCALING = 0.2, 50, 4
FEWEST = LEAST_SCALING + 1
MOST_FITTED = 500


@dataclass(frozen=True)
class Goods:
    """Good images by duty, each uint8 (n, H, W, C).

    Attributes:
        fitting: densities are fitted to them; the run may have seen them.
        scaling: the parts' scales are set by them.
        calibrating: the threshold is set by them.
        digests: of every image that had a part -> what it was used for.
    """

    fitting: Pixels
    scaling: Pixels
    calibrating: Pixels
    digests: dict[bytes, str]


def share_out(held_out: Images, trained: Images | None, most: int | None = None) -> Goods:
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
        raise _too_few(held_out, len(fresh))
    mixed = fresh[np.random.default_rng(0).permutation(len(fresh))]
    scaling = min(max(LEAST_SCALING, round(SCALE_SHARE * len(fresh))), MOST_SCALING)
    fitting = mixed[:scaling] if trained is None else trained.gather(_drawn(len(trained)))
    mixed = mixed if most is None else mixed[: scaling + most]
    used = seen | _digests(mixed, "calibrated on")
    return Goods(fitting, mixed[:scaling], mixed[scaling:], used)


def require_good(images: Images) -> None:
    """Check that no folder of good images is named beside one that is not.

    Raises:
        DataError: there are both.
    """
    present = {kind for kind in kinds_of(images) if kind is not None}
    other = sorted(kind for kind in present if kind.casefold() not in GOOD)
    if other and len(other) < len(present):
        raise DataError(
            f"the run's images are not all good: there is also '{other[0]}'",
            images.spec,
            "train on the folder of good images alone",
        )


def digest(image: NDArray[np.uint8]) -> bytes:
    """The SHA-256 of an image's pixels."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()


def _digests(pixels: Pixels, duty: str) -> dict[bytes, str]:
    return {digest(image): duty for image in pixels}


def _drawn(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(count)[:MOST_FITTED]


def _too_few(held_out: Images, fresh: int) -> DataError:
    same = len(held_out) - fresh
    told = f" ({same} more are also training images)" if same else ""
    return DataError(
        f"{fresh} held-out good images are too few to calibrate on{told}",
        held_out.spec,
        f"bring {FEWEST} at least with --good; 1% false alarms take 124",
    )
