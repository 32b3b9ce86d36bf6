"""Pictures inside a page: sheets of images as data URIs, small enough for many of them."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mezzotint.imaging.grids import grid
from mezzotint.imaging.resize import fit

COLUMNS = 8
LARGEST = 96  # pixels a side of an image in a page
PNG_ALWAYS = 20_000  # bytes up to which a picture stays exact
QUALITY = 88
BETWEEN = 128  # grey level between pictures, for dark pages and light ones

Pixels = NDArray[np.uint8]


def shrunk(pixels: Pixels, largest: int = LARGEST) -> Pixels:
    """uint8 (N, H, W, C) brought to at most ``largest`` pixels a side, never enlarged."""
    height, width = pixels.shape[1:3]
    scale = largest / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return np.stack([fit(one, size, "stretch") for one in pixels])


def sheet_uri(pixels: Pixels, columns: int = COLUMNS) -> str:
    """Images uint8 (N, H, W, C) side by side as a data URI, pixel for pixel or shrunk."""
    return picture_uri(grid(shrunk(pixels), columns, gap=1, scale=1, background=BETWEEN))


def picture_uri(pixels: Pixels) -> str:
    """One picture uint8 (H, W, C) as a data URI: PNG, or JPEG where that is much smaller."""
    exact = _encoded(_image(pixels), "PNG", optimize=True)
    if len(exact) <= PNG_ALWAYS:
        return _uri("image/png", exact)
    near = _encoded(_opaque(_image(pixels)), "JPEG", quality=QUALITY)
    small = len(near) < len(exact) / 2
    return _uri("image/jpeg", near) if small else _uri("image/png", exact)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _opaque(image: Image.Image) -> Image.Image:
    """A picture with alpha over white, as JPEG has none."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
