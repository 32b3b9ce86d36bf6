"""Folders of pictures for the benchmarks, made from what is on the machine."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mezzotint.data.dataset import Images
from mezzotint.data.store import load_images

Pixels = NDArray[np.uint8]


def fashion(count: int, held_out: int = 0, size: int | None = None) -> Images:
    """``count`` training and ``held_out`` held-out images of Fashion-MNIST."""
    whole = load_images("fashion-mnist", size=size)
    rows = [whole.train_rows[:count], whole.held_out_rows[:held_out]]
    return whole.subset(np.concatenate(rows))


def grey_folder(folder: Path, count: int) -> Path:
    """PNG files of ``count`` Fashion-MNIST images, 28 px, grey."""
    images = fashion(count)
    return write_folder(folder, images.gather(range(len(images)))[..., 0])


def colour_folder(folder: Path, count: int, size: int = 64) -> Path:
    """PNG files of ``count`` random crops of two photographs, RGB."""
    from skimage import data

    photographs = (data.astronaut(), data.coffee())
    generator = np.random.default_rng(0)
    crops = [_crop(photographs[at % 2], size, generator) for at in range(count)]
    return write_folder(folder, np.stack(crops))


def write_folder(folder: Path, pixels: Pixels) -> Path:
    """One PNG file an image."""
    folder.mkdir(parents=True)
    for at, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{at:06d}.png")
    return folder


def _crop(photograph: Pixels, size: int, generator: np.random.Generator) -> Pixels:
    height, width = photograph.shape[:2]
    top, left = generator.integers(height - size), generator.integers(width - size)
    return photograph[top : top + size, left : left + size]
