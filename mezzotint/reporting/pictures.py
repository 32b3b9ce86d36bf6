"""Pictures inside a page: sheets of images as data URIs, small enough for many of them."""

import base64
import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mezzotint.imaging.grids import grid

COLUMNS = 8
LARGEST = 96  # pixels a side of an image in a page
PNG_ALWAYS = 20_000  # bytes up to which a picture stays exact
QUALITY = 88
BETWEEN = 128  # grey level between pictures, for dark pages and light ones
HEAVY = 4_000_000  # bytes of pixels of which a part tells what form they get: PNG takes seconds
SMOOTH = 64  # pixels a side from which a sheet is shown smaller than it is
CLOSE = 4  # pictures of a sheet that are also there pixel for pixel
MOST_CLOSE = 3_000_000  # bytes of all those of a page together

Pixels = NDArray[np.uint8]


class CloseUp(NamedTuple):
    """Pictures that a page holds pixel for pixel.

    Attributes:
        uri: of all of them side by side.
        shown: how many, the first of their sheet.
        height, width: of what is shown of each.
        whole: whether that is all of it, not its middle.
    """

    uri: str
    shown: int
    height: int
    width: int
    whole: bool


class Sheet(NamedTuple):
    """Pictures in a page.

    Attributes:
        uri: of all of them side by side.
        smooth: whether a page shows them smaller than they are rather than enlarged.
        close: the first of them as they are; None where ``uri`` is exact itself.
    """

    uri: str
    smooth: bool
    close: CloseUp | None = None


def shrunk(pixels: Pixels, largest: int = LARGEST) -> Pixels:
    """uint8 (N, H, W, C) brought to at most ``largest`` pixels a side, never enlarged."""
    height, width = pixels.shape[1:3]
    scale = largest / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = [_image(one).resize(size, Image.Resampling.LANCZOS, reducing_gap=2) for one in pixels]
    return np.stack([np.array(one) for one in small]).reshape(len(pixels), *size[::-1], -1)


def sheet_uri(pixels: Pixels, columns: int = COLUMNS) -> str:
    """Images uint8 (N, H, W, C) side by side as a data URI, pixel for pixel or shrunk."""
    return picture_uri(
        grid(shrunk(pixels), columns, gap=1, scale=1, background=BETWEEN, see_through=True)
    )


def sheet(pixels: Pixels, most: int) -> Sheet:
    """A sheet of images uint8 (N, H, W, C), and the first of them exactly in ``most`` bytes."""
    uri, side = sheet_uri(pixels), max(pixels.shape[1:3])
    exact = side <= LARGEST and uri.startswith("data:image/png")
    return Sheet(uri, side >= SMOOTH, None if exact else close_up(pixels, most))


def close_up(pixels: Pixels, most: int) -> CloseUp | None:
    """The first of images uint8 (N, H, W, C) pixel for pixel in at most ``most`` bytes.

    Where not even one has room it is the middle of it; None where that has none either.
    """
    height, width = pixels.shape[1:3]
    first = len(_side_by_side(pixels[:1], most) or b"")
    for count in range(min(CLOSE, len(pixels), 1 + most // first) if first else 0, 0, -1):
        if (content := _side_by_side(pixels[:count], most)) is not None:
            return CloseUp(_uri("image/png", content), count, height, width, whole=True)
    part = pixels[:1]
    while min(part.shape[1:3]) >= 2 * SMOOTH:
        top, left = part.shape[1] // 4, part.shape[2] // 4
        part = part[:, top : part.shape[1] - top, left : part.shape[2] - left]
        if (content := _side_by_side(part, most)) is not None:
            tall, wide = part.shape[1:3]
            return CloseUp(_uri("image/png", content), 1, tall, wide, whole=False)
    return None


def _side_by_side(pixels: Pixels, most: int) -> bytes | None:
    """A row of images as PNG; None where that takes more than ``most`` bytes."""
    if pixels.size > 16 * most:  # no photograph is packed so densely: spare the time to try
        return None
    row = grid(pixels, len(pixels), gap=1, scale=1, background=BETWEEN, see_through=True)
    content = _encoded(_image(row), "PNG")
    return content if len(content) <= most else None


def picture_uri(pixels: Pixels) -> str:
    """One picture uint8 (H, W, C) as a data URI: PNG, or JPEG where that is much smaller.

    In the place of JPEG, which has no alpha channel, WebP.
    """
    rows = -(-len(pixels) * HEAVY // max(pixels.size, HEAVY))
    part = pixels[:rows]
    exact, (kind, near) = _encoded(_image(part), "PNG", optimize=True), light_file(part)
    whole = rows == len(pixels)
    if (whole and len(exact) <= PNG_ALWAYS) or len(near) >= len(exact) / 2:
        content = exact if whole else _encoded(_image(pixels), "PNG", optimize=True)
        return _uri("image/png", content)
    return _uri(kind, near if whole else light_file(pixels)[1])


def light_file(pixels: Pixels) -> tuple[str, bytes]:
    """Nearly a picture, in the form that has its channels: media type and content."""
    image = _image(pixels)
    if image.mode == "RGBA":
        return "image/webp", _encoded(image, "WEBP", quality=QUALITY, method=2)
    return "image/jpeg", _encoded(image, "JPEG", quality=QUALITY)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
