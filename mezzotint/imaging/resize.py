"""Bring a picture to a given size: crop, pad or stretch, then an antialiased resize."""

from typing import Literal

import numpy as np
from PIL import Image

How = Literal["crop", "pad", "stretch"]
Box = tuple[float, float, float, float]


def fit(
    image: np.ndarray,
    size: tuple[int, int],
    how: How = "crop",
    background: tuple[int, int, int] = (255, 255, 255),
) -> np.ndarray:
    """A picture of exactly ``size``.

    Args:
        image: uint8 HWC with 1, 3 or 4 channels.
        size: (height, width) wanted.
        how: ``crop`` keeps the largest centred part of the wanted aspect, ``pad`` keeps everything
            and fills the margins, ``stretch`` changes the aspect.
        background: sRGB colour of the margins; with 4 channels the margins are transparent.

    Returns:
        uint8 HWC, contiguous; ``image`` itself when it has the size already. Lanczos where a side
        shrinks, bicubic otherwise; with 4 channels colours are weighted by alpha.

    Raises:
        ValueError: not uint8 HWC with 1, 3 or 4 channels, or a side below 1.
    """
    _check(image, size)
    if image.shape[:2] == tuple(size):
        return np.ascontiguousarray(image)
    if how == "pad":
        return _pad(image, size, background)
    box = _centre_box(image, size) if how == "crop" else (0, 0, image.shape[1], image.shape[0])
    return _resample(image, size, box)


def _check(image: np.ndarray, size: tuple[int, int]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError(f"want uint8 HWC, 1, 3 or 4 channels; got {image.dtype} {image.shape}")
    if min(*size, *image.shape) < 1:
        raise ValueError(f"a side below one pixel: {image.shape[:2]} to {size}")


def _centre_box(image: np.ndarray, size: tuple[int, int]) -> Box:
    """The largest centred rectangle of the wanted aspect, in pixels; its edges may be fractions."""
    height, width = image.shape[:2]
    scale = min(height / size[0], width / size[1])
    x, y = (width - size[1] * scale) / 2, (height - size[0] * scale) / 2
    return max(x, 0.0), max(y, 0.0), min(width - x, width), min(height - y, height)


def centred(shape: tuple[int, ...], size: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a picture (H, W) that ``crop`` keeps for a size, in whole pixels."""
    scale = min(shape[0] / size[0], shape[1] / size[1])
    kept = [
        max(1, min(round(side * scale), whole)) for side, whole in zip(size, shape, strict=True)
    ]
    first = [(whole - part) // 2 for whole, part in zip(shape, kept, strict=True)]
    rows, columns = (slice(at, at + part) for at, part in zip(first, kept, strict=True))
    return rows, columns


def _resample(image: np.ndarray, size: tuple[int, int], box: Box) -> np.ndarray:
    shrinks = box[2] - box[0] > size[1] or box[3] - box[1] > size[0]
    method = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    resized = picture.resize((size[1], size[0]), method, box=box)
    return np.array(resized).reshape(*size, image.shape[2])


def _pad(image: np.ndarray, size: tuple[int, int], background: tuple[int, int, int]) -> np.ndarray:
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    canvas = np.empty((*size, image.shape[2]), np.uint8)
    canvas[...] = _margin(background, image.shape[2])
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    whole = (0, 0, width, height)
    part = image if (height, width) == inner else _resample(image, inner, whole)
    canvas[top : top + inner[0], left : left + inner[1]] = part
    return canvas


def _margin(background: tuple[int, int, int], channels: int) -> tuple[int, ...]:
    if channels == 1:
        grey = Image.new("RGB", (1, 1), background).convert("L").getpixel((0, 0))
        return (int(grey),)  # type: ignore[arg-type]
    return (*background, 0)[:channels]
