"""Image files to pixels, on the terms a data set needs: bounded, upright, eight bits, sRGB.

A file is either read right or refused with a reason; it never ends a scan, raises a Python warning
or takes more memory than ``MAX_PIXELS`` allows. libtiff may still write a line about a damaged TIFF
to standard error.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mezzotint.imaging import png
from mezzotint.imaging.colour import DEEP, Channels, Colour, flatten
from mezzotint.imaging.quiet import quiet
from mezzotint.imaging.resize import fit
from mezzotint.imaging.sniff import diagnose, refused_by_name

__all__ = ["FORMATS", "MAX_PIXELS", "ImageInfo", "Unreadable", "decode", "fit", "probe"]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM")
MAX_PIXELS = 64_000_000

_GREY = ("1", "L", "LA", "La", *DEEP)
_BITS = {"1": 1, "I": 32, "F": 32, **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), 16)}
_PNG_BITS, _PNG_COLOUR = 24, 25  # offsets of two bytes of the IHDR chunk
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STRIP = 1 << 18  # pixels
_SIDEWAYS = (5, 6, 7, 8)


class Unreadable(Exception):  # noqa: N818  (a verdict on a file, part of the interface)
    """A file that gives no picture.

    Args:
        reason: ``corrupt``, ``unsupported``, ``empty``, ``too-large``, ``not-image`` or
            ``unreadable``.
        detail: one readable sentence.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True)
class ImageInfo:
    """What a file's header says.

    Attributes:
        width, height: pixels of the upright picture, orientation applied.
        mode: Pillow's name of the pixel form.
        bits: bits per sample.
        frames: pages or frames; only the first is ever read.
        format: one of ``FORMATS``.
        has_alpha: an alpha channel or a colour that stands for transparent.
        grey: the picture has no colour.
    """

    width: int
    height: int
    mode: str
    bits: int
    frames: int
    format: str
    has_alpha: bool
    grey: bool


def probe(data: bytes, name: str) -> ImageInfo:
    """Read the header alone.

    Args:
        data: the whole file.
        name: the file's name; its suffix tells camera raw files from the TIFF they are made of.

    Raises:
        Unreadable: no readable header, or more pixels than any decode would accept.
    """
    with quiet(), _typed():
        image = _open(data, name)
        if not _can_shrink(image):
            _check_pixels(image)
        width, height = image.size
        if _orientation(image, data) in _SIDEWAYS:
            width, height = height, width
        alpha, grey = image.has_transparency_data, _is_grey(image, data)
        mode, bits, kind = image.mode, _bits(image, data), _format(image)
        return ImageInfo(width, height, mode, bits, _frames(image), kind, alpha, grey)


def decode(
    data: bytes,
    name: str,
    channels: Channels,
    background: Colour = (255, 255, 255),
    at_least: tuple[int, int] | None = None,
) -> np.ndarray:
    """The first picture of a file, upright, in sRGB, as uint8 HWC with ``channels`` channels.

    Args:
        data: the whole file.
        name: the file's name, as for :func:`probe`.
        channels: 1 grey (ITU-R 601 luma), 3 RGB, 4 RGBA.
        background: what transparency is laid on when ``channels`` is not 4.
        at_least: (height, width); a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as
            both sides stay that large. Cheaper, and the only way past ``MAX_PIXELS``.

    Raises:
        Unreadable: with the reason; ``too-large`` is decided before any pixel is decoded.
    """
    with quiet(), _typed():
        image = _open(data, name)
        turn = _orientation(image, data)
        if at_least is not None and _can_shrink(image):
            _draft(image, at_least, turn)
        _check_pixels(image)
        _load(image, data)
        flat = flatten(image, _bits(image, data), channels, background)
        upright = flat.transpose(_TURNS[turn]) if turn in _TURNS else flat
        return _pixels(upright, channels)


def _open(data: bytes, name: str) -> Image.Image:
    if not data:
        raise Unreadable("empty", "the file has no bytes")
    if refusal := refused_by_name(PurePath(name).suffix):
        raise Unreadable(*refusal)
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Unreadable(*diagnose(data)) from None


@contextmanager
def _typed() -> Iterator[None]:
    """Every failure of a codec as Unreadable; codecs raise far more than they document."""
    try:
        yield
    except Unreadable:
        raise
    except (Image.DecompressionBombError, MemoryError):
        raise Unreadable("too-large", f"it has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:
        raise Unreadable("corrupt", _words(error)) from None


def _words(error: Exception) -> str:
    """A codec's message as one short line without memory addresses."""
    text = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>|0x[0-9a-fA-F]{6,}", "the file", str(error))
    line = " ".join(text.split())[:200]
    return line or type(error).__name__


def _check_pixels(image: Image.Image) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise Unreadable("corrupt", f"its header says {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        detail = f"{width} x {height} pixels are more than {MAX_PIXELS:,}"
        raise Unreadable("too-large", detail)


def _can_shrink(image: Image.Image) -> bool:
    """Baseline JPEG only: a progressive one keeps all its coefficients in memory anyway."""
    return _format(image) == "JPEG" and not image.info.get("progressive")


def _pixels(image: Image.Image, channels: int) -> np.ndarray:
    """uint8 HWC, strip by strip: Pillow's own way holds the picture three times at once."""
    shape, step = (image.height, image.width, channels), max(1, _STRIP // image.width)
    if step >= image.height:
        return np.array(image).reshape(shape)
    pixels = np.empty(shape, np.uint8)
    for top in range(0, image.height, step):
        part = pixels[top : top + step]
        strip = image.crop((0, top, image.width, top + len(part)))
        part[...] = np.asarray(strip).reshape(part.shape)
    return pixels


def _draft(image: Image.Image, at_least: tuple[int, int], turn: int) -> None:
    height, width = (max(1, side) for side in at_least)
    image.draft(None, (height, width) if turn in _SIDEWAYS else (width, height))


def _load(image: Image.Image, data: bytes) -> None:
    # Pillow does not compare the checksums of pixel data, and shows what arrived of a cut file
    # when the rows happen to be complete.
    if image.format == "PNG" and (wrong := png.fault(data)):
        raise Unreadable("corrupt", wrong)
    image.load()


def _orientation(image: Image.Image, data: bytes) -> int:
    """EXIF orientation, 1 when there is none; TIFF is turned by Pillow as it loads."""
    if image.format == "TIFF":
        return 1
    try:
        value = _exif(image, data).get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1  # a broken EXIF block does not spoil the pixels
    return value if isinstance(value, int) and value in _TURNS else 1


def _exif(image: Image.Image, data: bytes) -> Image.Exif:
    # PngImageFile.getexif decodes the pixels to find a chunk behind them; the base method does not.
    if image.format == "PNG" and "exif" not in image.info:
        payload = png.first(data, b"eXIf")
        if payload is not None:
            exif = Image.Exif()
            exif.load(b"Exif\x00\x00" + payload)
            return exif
    return Image.Image.getexif(image)


def _format(image: Image.Image) -> str:
    """Pillow's name; a JPEG with more pictures behind the first (``MPO``) counts as JPEG."""
    kind = image.format or ""
    return {"MPO": "JPEG", "DIB": "BMP"}.get(kind, kind)


def _bits(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":
        return data[_PNG_BITS]
    if image.format == "TIFF":
        tag = image.tag_v2.get(258)  # type: ignore[attr-defined]
        return int(tag[0]) if isinstance(tag, tuple) and tag else _BITS.get(image.mode, 8)
    if image.format == "PPM" and image.mode == "I":
        return 16  # Pillow widens what has more than eight bits
    return _BITS.get(image.mode, 8)


def _frames(image: Image.Image) -> int:
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except Exception:
        return 1  # a broken later page does not spoil the first


def _is_grey(image: Image.Image, data: bytes) -> bool:
    if image.format == "PNG" and data[_PNG_COLOUR] in (0, 4):
        return True
    return image.mode in _GREY or (image.mode in ("P", "PA") and _grey_palette(image))


def _grey_palette(image: Image.Image) -> bool:
    """Whether all palette entries are grey, without touching the pixels."""
    palette = image.palette
    if palette is None:
        return False
    raw, form = np.frombuffer(bytes(palette.palette), np.uint8), palette.rawmode or palette.mode
    width = len(form)
    if form == "RGB;L":  # TIFF keeps the three channels one after the other
        colours = raw.reshape(3, -1).T
    elif form in ("RGB", "BGR", "BGRX", "RGBA", "RGBX"):
        colours = raw[: len(raw) // width * width].reshape(-1, width)[:, :3]
    else:
        return False
    return bool((colours == colours[:, :1]).all())
