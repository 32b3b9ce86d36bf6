"""Any Pillow mode to 8-bit grey, RGB or RGBA: deep pixels, palettes, transparency, ICC profiles."""

import functools
import io
from typing import Literal

import numpy as np
from PIL import Image, ImageCms

Channels = Literal[1, 3, 4]
Colour = tuple[int, int, int]

DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_PLAIN = {"1": "L", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB"}
_WITH_ALPHA = {"LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}
_MAX_PROFILE = 4 << 20  # bytes; real profiles stay below 3 MiB
_NEAR = 2  # levels of 255 a profile may move a colour and still count as sRGB


def scale_deep(values: np.ndarray) -> np.ndarray:
    """Grey values of more than eight bits as uint8.

    Unsigned 16-bit values, and 32-bit ones inside 0..65535, are divided by 257 and rounded.
    Floats inside [0, 1] are multiplied by 255. Everything else is stretched from its own smallest
    and largest value to 0..255; a constant image of that kind becomes 0.

    Raises:
        ValueError: a value is not finite.
    """
    if values.dtype.itemsize == 2 and values.dtype.kind == "u":
        return _by_257(values)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("it holds values that are not numbers")
    whole = values.dtype.kind in "iu"
    if low >= 0 and high <= (65535 if whole else 1):
        return _by_257(values) if whole else _stretch(values, 0.0, 1.0)
    return _stretch(values, low, high)


def _by_257(values: np.ndarray) -> np.ndarray:
    """Round(v / 257): 257 is odd, so that there are no ties."""
    wide = values.astype(np.uint32)
    wide += 128
    wide //= 257
    return wide.astype(np.uint8)


def _stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    unit = (values.astype(np.float64) - low) / (high - low)
    return np.rint(unit * 255).astype(np.uint8)


def flatten(image: Image.Image, bits: int, channels: Channels, background: Colour) -> Image.Image:
    """A loaded Pillow image as mode ``L``, ``RGB`` or ``RGBA`` for 1, 3 or 4 channels, in sRGB.

    Args:
        image: any mode; pixels already loaded.
        bits: bits per sample in the file; a PNG's transparent colour is given in them.
        channels: 4 keeps transparency, 1 and 3 lay the image on ``background``.
        background: sRGB colour.

    Raises:
        ValueError: the mode is not one that can be shown, or a value is not finite.
    """
    profile = image.info.get("icc_profile")
    body, alpha = _separate(image, bits)
    body = _to_srgb(body, profile if isinstance(profile, bytes) else b"")
    if channels == 4:
        body = _as(body, "RGB")
        body.putalpha(255 if alpha is None else alpha)
        return body
    if alpha is not None:
        body = _lay_on(body, alpha, background)
    return _as(body, "L" if channels == 1 else "RGB")


def _as(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _lay_on(body: Image.Image, alpha: Image.Image, background: Colour) -> Image.Image:
    """(alpha * colour + (255 - alpha) * background) / 255, rounded to the nearest level."""
    if alpha.getextrema() == (255, 255):
        return body
    canvas = Image.new("RGB", body.size, background)
    canvas.paste(_as(body, "RGB"), mask=alpha)
    return canvas


def _separate(image: Image.Image, bits: int) -> tuple[Image.Image, Image.Image | None]:
    """Colour (``L``, ``RGB`` or ``CMYK``) and, when there is transparency, alpha (``L``)."""
    mode = image.mode
    if mode == "P":
        mode = "RGBA" if image.has_transparency_data else "RGB"
        return _split_alpha(image.convert(mode))
    if mode in _WITH_ALPHA:
        return _split_alpha(_as(image, _WITH_ALPHA[mode]))
    alpha = _keyed_alpha(image, bits)
    if mode in DEEP:
        return Image.fromarray(scale_deep(np.asarray(image))), alpha
    return _as(image, _PLAIN.get(mode, mode)), alpha


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if image.mode == "RGBA":
        return image.convert("RGB"), image.getchannel("A")
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    return image, None


def _keyed_alpha(image: Image.Image, bits: int) -> Image.Image | None:
    """Alpha of an image in which one colour stands for transparent (PNG tRNS, grey GIF)."""
    key = image.info.get("transparency")
    if not isinstance(key, int | tuple):
        return None
    level = np.atleast_1d(_key_level(np.asarray(key), image.mode, bits))
    pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    same = pixels.reshape(*pixels.shape[:2], -1) == level
    return Image.fromarray(np.where(same.all(axis=-1), 0, 255).astype(np.uint8))


def _key_level(key: np.ndarray, mode: str, bits: int) -> np.ndarray:
    """A transparent colour in the file's own bits as the level Pillow gives its pixels."""
    if bits == 16:
        return key if mode in DEEP else key >> 8
    return key * (255 // (2**bits - 1)) if bits in (2, 4) else key


def _to_srgb(body: Image.Image, profile: bytes) -> Image.Image:
    """RGB or CMYK through its embedded profile; without a usable one, Pillow's plain conversion."""
    if body.mode not in ("RGB", "CMYK"):
        return body
    change = _transform(profile, body.mode) if 0 < len(profile) <= _MAX_PROFILE else None
    if change is None:
        return _as(body, "RGB")
    converted: Image.Image = change.apply(body)
    return converted


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from an embedded profile to sRGB; None when it is broken, foreign or sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != mode:
            return None
        target = ImageCms.createProfile("sRGB")
        change = ImageCms.buildTransform(source, target, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode == "RGB" and _moves_nothing(change) else change


def _moves_nothing(change: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform leaves a 17 x 17 x 17 lattice of colours where it is."""
    levels = np.rint(np.linspace(0, 255, 17)).astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    moved = np.asarray(change.apply(Image.fromarray(lattice)))
    return int(np.abs(moved.astype(int) - lattice).max()) <= _NEAR
