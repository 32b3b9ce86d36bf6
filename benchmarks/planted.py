"""Textures with planted defects, each with its mask: six kinds at 64 pixels, two fine at 256."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import data

SIZE, TRAIN, GOOD, BAD = 64, 300, 60, 20
TEXTURES = {"brick": "grass", "grass": "gravel", "gravel": "brick"}  # and what is foreign to it
EDGE = 320  # training crops lie left of it, test crops right

Rng = np.random.Generator
Planted = tuple[np.ndarray, np.ndarray]


class Set(NamedTuple):
    """Images uint8 (n, H, W, 1): good ones to train on and to test, bad ones with masks."""

    train: np.ndarray
    good: np.ndarray
    bad: np.ndarray
    masks: np.ndarray
    kinds: list[str]


def texture_set(name: str, seed: int = 0) -> Set:
    """Crops of one of scikit-image's textures; the six kinds follow each other."""
    rng = np.random.default_rng(seed)
    picture, other = (getattr(data, n)().astype(np.float64) for n in (name, TEXTURES[name]))
    left, right = picture[:, :EDGE], picture[:, EDGE:]
    train = [_crop(left, rng) for _ in range(TRAIN)]
    good = [_crop(right, rng) for _ in range(GOOD)]
    planted, kinds = [], []
    for kind, plant in DEFECTS.items():
        for _ in range(BAD):
            planted.append(plant(_crop(right, rng), _crop(other, rng), rng))
            kinds.append(kind)
    bad, masks = zip(*planted, strict=True)
    return Set(_levels(train), _levels(good), _levels(bad), np.stack(masks), kinds)


def _crop(picture: np.ndarray, rng: Rng) -> np.ndarray:
    top, left = (rng.integers(0, side - SIZE + 1) for side in picture.shape)
    return picture[top : top + SIZE, left : left + SIZE]


def _levels(images) -> np.ndarray:
    return np.clip(np.round(np.stack(images)), 0, 255).astype(np.uint8)[..., None]


def _blob(rng: Rng, share: float) -> np.ndarray:
    """The largest piece of a ragged spot; ``share`` of the side is about its radius."""
    while True:
        field = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), SIZE / 10)
        y, x = np.mgrid[:SIZE, :SIZE]
        top, left = rng.uniform(0.25, 0.75, 2) * SIZE
        hill = ((y - top) ** 2 + (x - left) ** 2) / (2 * (share * SIZE) ** 2)
        labels, count = ndimage.label(field / field.std() * 0.4 - hill > -0.6)
        if count:
            return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))


def scratch(image: np.ndarray, other: np.ndarray, rng: Rng) -> Planted:
    """A bent line, brighter or darker."""
    angle, bend = rng.uniform(0, np.pi), rng.normal() * 0.01
    along = np.linspace(-0.5, 0.5, 400) * rng.uniform(0.3, 0.6) * SIZE
    top, left = rng.uniform(0.3, 0.7, 2) * SIZE
    y = top + along * np.sin(angle) + bend * along**2 * np.cos(angle)
    x = left + along * np.cos(angle) - bend * along**2 * np.sin(angle)
    inside = (y >= 0) & (x >= 0) & (y < SIZE) & (x < SIZE)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[y[inside].astype(int), x[inside].astype(int)] = True
    mask = ndimage.binary_dilation(mask)
    return np.where(mask, image + rng.choice([-70, 70]), image), mask


def stain(image: np.ndarray, other: np.ndarray, rng: Rng) -> Planted:
    """Half the contrast and another brightness, with a soft edge."""
    mask = _blob(rng, 0.14)
    share = ndimage.gaussian_filter(mask.astype(float), 1)
    return (1 - share) * image + share * (0.5 * image + rng.choice([10, 110])), mask


def smear(image: np.ndarray, other: np.ndarray, rng: Rng) -> Planted:
    """A blurred spot."""
    mask = _blob(rng, 0.15)
    return np.where(mask, ndimage.gaussian_filter(image, 3), image), mask


def hole(image: np.ndarray, other: np.ndarray, rng: Rng) -> Planted:
    """A dark spot of one level."""
    mask = _blob(rng, 0.1)
    return np.where(mask, rng.uniform(10, 50), image), mask


def grain(image: np.ndarray, other: np.ndarray, rng: Rng) -> Planted:
    """A spot with noise on it."""
    mask = _blob(rng, 0.12)
    return np.where(mask, image + rng.normal(0, 45, image.shape), image), mask


def foreign(image: np.ndarray, other: np.ndarray, rng: Rng) -> Planted:
    """A spot of another texture at the same mean brightness."""
    mask = _blob(rng, 0.15)
    return np.where(mask, other - other.mean() + image.mean(), image), mask


DEFECTS: dict[str, Callable[[np.ndarray, np.ndarray, Rng], Planted]] = {
    "scratch": scratch,
    "stain": stain,
    "smear": smear,
    "hole": hole,
    "grain": grain,
    "foreign": foreign,
}


LARGE, LARGE_TRAIN, LARGE_GOOD, LARGE_BAD = 256, 200, 60, 30  # the last: of each kind
MIDDLE = 256  # large training crops lie left of it, test crops right
SCRATCH_WIDTH, STAIN_WIDTH = 2, 12


def large_set(name: str, seed: int = 0) -> Set:
    """Crops of 256 pixels of one texture; scratches of 2 pixels, then stains of 12.

    The picture has 512 x 512 pixels, so crops of one half differ only in where they begin, and the
    good ones to test lie in the half that was not trained on.
    """
    rng = np.random.default_rng(seed)
    picture = getattr(data, name)().astype(np.float64)
    left, right = picture[:, :MIDDLE], picture[:, MIDDLE:]
    train = [_large_crop(left, rng) for _ in range(LARGE_TRAIN)]
    good = [_large_crop(right, rng) for _ in range(LARGE_GOOD)]
    planted = [(kind, plant(_large_crop(right, rng), rng))
               for kind, plant in FINE.items() for _ in range(LARGE_BAD)]  # fmt: skip
    bad, masks = zip(*(pair for _, pair in planted), strict=True)
    kinds = [kind for kind, _ in planted]
    return Set(_levels(train), _levels(good), _levels(bad), np.stack(masks), kinds)


def scan_of(name: str, side: int, rng: Rng) -> np.ndarray:
    """A large picture (side, side) of the half that is tested on, mirrored as often as it takes."""
    part = getattr(data, name)().astype(np.float64)[:, MIDDLE:]
    top, left = rng.integers(0, 256, 2)
    return np.pad(part, ((0, side), (0, side)), "reflect")[top : top + side, left : left + side]


def _large_crop(picture: np.ndarray, rng: Rng) -> np.ndarray:
    top = rng.integers(0, picture.shape[0] - LARGE + 1)
    return picture[top : top + LARGE]


def fine_scratch(image: np.ndarray, rng: Rng) -> Planted:
    """A bent line 2 pixels wide and 77 to 154 long, brighter or darker by 70."""
    angle, bend = rng.uniform(0, np.pi), rng.normal() * 0.01 * SIZE / LARGE
    along = np.linspace(-0.5, 0.5, 1600) * rng.uniform(0.3, 0.6) * LARGE
    top, left = (rng.uniform(0.2, 0.8) * side for side in image.shape)
    y = top + along * np.sin(angle) + bend * along**2 * np.cos(angle)
    x = left + along * np.cos(angle) - bend * along**2 * np.sin(angle)
    mask = np.zeros(image.shape, dtype=bool)
    for down in range(SCRATCH_WIDTH):
        for right in range(SCRATCH_WIDTH):
            rows, columns = (y + down).astype(int), (x + right).astype(int)
            inside = (y >= 0) & (x >= 0) & (rows < mask.shape[0]) & (columns < mask.shape[1])
            mask[rows[inside], columns[inside]] = True
    return np.where(mask, image + rng.choice([-70, 70]), image), mask


def small_stain(image: np.ndarray, rng: Rng) -> Planted:
    """A disc of 12 pixels with half the contrast, brighter or darker by 70, with a soft edge."""
    top, left = (rng.uniform(0.1, 0.9) * side for side in image.shape)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    mask = (y - top) ** 2 + (x - left) ** 2 <= (STAIN_WIDTH / 2) ** 2
    share = ndimage.gaussian_filter(mask.astype(float), 1)
    middle = image.mean()
    stained = middle + 0.5 * (image - middle) + rng.choice([-70, 70])
    return (1 - share) * image + share * stained, mask


FINE: dict[str, Callable[[np.ndarray, Rng], Planted]] = {
    "scratch": fine_scratch,
    "stain": small_stain,
}
