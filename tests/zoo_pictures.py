"""Files of the zoo that hold a picture, with the pixels each must give."""

import io
import itertools
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from zoo_writers import as_stored, exif, interlaced_png, linear_profile, png, srgb_encoded, tiff

RANDOM = np.random.default_rng(20240607)
RGB = RANDOM.integers(0, 256, (12, 20, 3), dtype=np.uint8)
GREY = RGB[..., 0]
ALPHA = RANDOM.integers(0, 256, (12, 20), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (12, 20, 4), dtype=np.uint16)
# Flat 8 x 8 blocks: their only JPEG coefficient is the mean, which quality 100 stores exactly.
_TILES = np.array([[10, 250, 90], [130, 60, 200]], np.uint8)
BLOCKS = _TILES.repeat(8, axis=0).repeat(8, axis=1)
COLOURS = np.stack([BLOCKS, BLOCKS[::-1], BLOCKS[:, ::-1]], axis=-1)


# Name, file content, picture (HW or HWC uint8, on white) and, for lossy files, a tolerance.
Good = tuple[str, bytes, np.ndarray] | tuple[str, bytes, np.ndarray, int]


def good_files() -> Iterator[Good]:
    """Every file that must be kept."""
    groups = _png, _keyed_png, _tiff, _jpeg, _turned, _other_formats, _profiles
    return itertools.chain.from_iterable(group() for group in groups)


def as_rgb(picture: np.ndarray) -> np.ndarray:
    if picture.ndim == 2:
        picture = picture[..., None]
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.rint(as_rgb(colour) * share + 255 * (1 - share)).astype(np.uint8)


def by_257(values: np.ndarray) -> np.ndarray:
    return np.rint(values / 257).astype(np.uint8)


def saved(picture: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _png() -> Iterator[Good]:
    for bits in (1, 2, 4):
        levels = GREY >> (8 - bits)
        yield f"grey{bits}.png", png(levels, bits), levels * np.uint8(255 // (2**bits - 1))
        palette = RANDOM.integers(0, 256, (2**bits, 3), dtype=np.uint8)
        chunk = [(b"PLTE", palette.tobytes())]
        yield f"palette{bits}.png", png(levels, bits, 3, chunk), palette[levels]
    yield "grey8.png", png(GREY), GREY
    yield "grey16.png", png(DEEP[..., 0], 16), by_257(DEEP[..., 0])
    yield "grey16dark.png", png(DEEP[..., 0] >> 4, 16), by_257(DEEP[..., 0] >> 4)
    yield "rgb8.png", png(RGB, 8, 2), RGB
    yield "rgb16.png", png(DEEP[..., :3], 16, 2), by_257(DEEP[..., :3])
    yield "la8.png", png(np.dstack([GREY, ALPHA]), 8, 4), on_white(GREY, ALPHA)
    yield "rgba8.png", png(np.dstack([RGB, ALPHA]), 8, 6), on_white(RGB, ALPHA)
    deep_alpha = by_257(DEEP[..., 3])
    yield "la16.png", png(DEEP[..., [0, 3]], 16, 4), on_white(by_257(DEEP[..., 0]), deep_alpha), 2
    yield "rgba16.png", png(DEEP, 16, 6), on_white(by_257(DEEP[..., :3]), deep_alpha), 2
    yield "interlaced.png", interlaced_png(RGB, 2), RGB
    yield "line.png", png(RGB[:1], 8, 2), RGB[:1]
    yield "column.png", png(RGB[:, :1], 8, 2), RGB[:, :1]
    yield "dot.png", png(RGB[:1, :1], 8, 2), RGB[:1, :1]
    yield "trailing.png", png(RGB, 8, 2) + b"trailing bytes", RGB
    yield "png_named.jpg", png(RGB, 8, 2), RGB
    yield "UPPER.PNG", png(RGB, 8, 2), RGB


def _keyed_png() -> Iterator[Good]:
    """PNG in which a colour or palette entries stand for transparent."""
    palette = RANDOM.integers(0, 256, (256, 3), dtype=np.uint8)
    colours, alphas = (b"PLTE", palette.tobytes()), np.arange(256, dtype=np.uint8)[::-1]
    data = png(GREY, 8, 3, [colours, (b"tRNS", alphas.tobytes())])
    yield "palette_alphas.png", data, on_white(palette[GREY], alphas[GREY])
    one = np.full(256, 255, np.uint8)
    one[GREY[0, 0]] = 0
    data = png(GREY, 8, 3, [colours, (b"tRNS", one.tobytes())])
    yield "palette_key.png", data, on_white(palette[GREY], one[GREY])
    for bits in (1, 2, 4, 8, 16):
        levels = DEEP[..., 0] >> (16 - bits)
        chunk = [(b"tRNS", struct.pack(">H", int(levels[0, 0])))]
        shown = np.rint(levels * (255 / (2**bits - 1))).astype(np.uint8)
        seen = np.where(levels == levels[0, 0], 0, 255).astype(np.uint8)
        yield f"key{bits}.png", png(levels, bits, 0, chunk), on_white(shown, seen)
    seen = np.where((RGB[3, 4] == RGB).all(-1), 0, 255).astype(np.uint8)
    chunk = [(b"tRNS", struct.pack(">3H", *RGB[3, 4].tolist()))]
    yield "key_rgb.png", png(RGB, 8, 2, chunk), on_white(RGB, seen)
    seen = np.where((DEEP[..., :3] == DEEP[3, 4, :3]).all(-1), 0, 255).astype(np.uint8)
    chunk = [(b"tRNS", struct.pack(">3H", *DEEP[3, 4, :3].tolist()))]
    yield "key_rgb16.png", png(DEEP[..., :3], 16, 2, chunk), on_white(by_257(DEEP[..., :3]), seen)


def _tiff() -> Iterator[Good]:
    grey16 = DEEP[..., 0]
    yield "grey16.tif", tiff(grey16), by_257(grey16)
    yield "grey16big.tif", tiff(grey16, ">"), by_257(grey16)
    yield "int32.tif", tiff(grey16.astype(np.int32)), by_257(grey16)
    wide = grey16.astype(np.int32) * 1000 - 7_000_000
    yield "int32wide.tif", tiff(wide), _stretched(wide)
    unit = (grey16 / 65535).astype(np.float32)
    yield "float_unit.tif", tiff(unit), np.rint(unit * 255).astype(np.uint8)
    yield "float_wide.tif", tiff(unit * 900 - 300), _stretched(unit * 900 - 300)
    yield "float_negative.tif", tiff(unit * 2 - 1), _stretched(unit * 2 - 1)
    yield "float_flat.tif", tiff(np.full((4, 5), 7.5, np.float32)), np.zeros((4, 5), np.uint8)
    yield "rgb.tif", tiff(RGB, photometric=2), RGB
    yield "inverted.tif", tiff(GREY, photometric=0), 255 - GREY
    for packing in ("tiff_lzw", "tiff_deflate", "packbits"):
        yield f"{packing}.tif", saved(RGB, "TIFF", compression=packing), RGB
    yield "bilevel.tif", saved(GREY > 127, "TIFF"), np.where(GREY > 127, 255, 0).astype(np.uint8)
    pages = [Image.fromarray(255 - RGB), Image.fromarray(GREY)]
    yield "pages.tif", saved(RGB, "TIFF", save_all=True, append_images=pages), RGB
    cmyk = np.dstack([RGB, ALPHA])
    yield "cmyk.tif", saved(Image.fromarray(cmyk, "CMYK"), "TIFF"), _ink(cmyk)
    palette = RANDOM.integers(0, 256, (256, 3), dtype=np.uint8)
    indexed = Image.fromarray(GREY)
    indexed.putpalette(palette.tobytes())
    yield "palette.tif", saved(indexed, "TIFF"), palette[GREY]
    pa = indexed.convert("PA")
    pa.putalpha(Image.fromarray(ALPHA))
    yield "pa.tif", saved(pa, "TIFF"), on_white(palette[GREY], ALPHA)


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return np.asarray(np.rint((values - low) / (high - low) * 255), np.uint8)


def _ink(cmyk: np.ndarray) -> np.ndarray:
    """The plain conversion: light = (1 - ink) (1 - black)."""
    free = (255 - cmyk.astype(float)) / 255
    return np.rint(255 * free[..., :3] * free[..., 3:]).astype(np.uint8)


def _jpeg() -> Iterator[Good]:
    best: dict[str, Any] = {"quality": 100, "subsampling": 0}
    yield "grey.jpg", saved(BLOCKS, "JPEG", **best), BLOCKS, 0
    yield "rgb.jpg", saved(COLOURS, "JPEG", **best), COLOURS, 2
    yield "progressive.jpg", saved(COLOURS, "JPEG", progressive=True, **best), COLOURS, 2
    yield "jpeg_named.png", saved(COLOURS, "JPEG", **best), COLOURS, 2
    yield "trailing.jpg", saved(COLOURS, "JPEG", **best) + bytes(999), COLOURS, 2
    broken = saved(COLOURS, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff", **best)
    yield "broken_exif.jpg", broken, COLOURS, 2
    more = [Image.fromarray(255 - COLOURS)]
    yield "mpo.jpg", saved(COLOURS, "MPO", save_all=True, append_images=more, **best), COLOURS, 2
    cmyk = np.dstack([COLOURS, BLOCKS // 4])
    inked = Image.fromarray(cmyk, "CMYK")
    yield "cmyk.jpg", saved(inked, "JPEG", **best), _ink(cmyk), 2
    wrong = saved(inked, "JPEG", icc_profile=linear_profile(), **best)
    yield "cmyk_foreign_profile.jpg", wrong, _ink(cmyk), 2
    yield "ycck.jpg", _ycck(cmyk, best), _ink(cmyk), 3


def _ycck(cmyk: np.ndarray, best: dict[str, Any]) -> bytes:
    """A JPEG in Adobe's YCCK: Pillow's CMYK file with its colour transform declared to be 2.

    The three inks are stored as the YCbCr of a picture with those values; Pillow stores every
    channel inverted, black included, which is what Adobe does for black alone.
    """
    inks = Image.fromarray(np.ascontiguousarray(cmyk[..., :3])).convert("YCbCr")
    stored = np.dstack([255 - np.asarray(inks), cmyk[..., 3]])
    data = saved(Image.fromarray(stored, "CMYK"), "JPEG", **best)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    return data[:at] + b"\x02" + data[at + 1 :]


def _turned() -> Iterator[Good]:
    """The eight EXIF orientations in each format that carries them."""
    for turn in range(1, 9):
        stored, block = as_stored(RGB, turn), as_stored(BLOCKS, turn)
        tag = exif(turn)
        yield f"turn{turn}.png", png(stored, 8, 2, [(b"eXIf", tag)]), RGB, 0
        yield f"turn{turn}.tif", tiff(stored, photometric=2, orientation=turn), RGB, 0
        yield f"turn{turn}.webp", saved(stored, "WEBP", lossless=True, exif=tag), RGB, 0
        prefixed = b"Exif\0\0" + tag
        yield f"turn{turn}.jpg", saved(block, "JPEG", quality=100, exif=prefixed), BLOCKS, 0
    late = [(b"eXIf", exif(6))]
    yield "turn6late.png", png(as_stored(RGB, 6), 8, 2, tail=late), RGB, 0


def _other_formats() -> Iterator[Good]:
    others = [Image.fromarray(255 - RGB), Image.fromarray(RGB[::-1].copy())]
    moving: dict[str, Any] = {"save_all": True, "append_images": others, "duration": 50}
    yield "animated.webp", saved(RGB, "WEBP", lossless=True, **moving), RGB
    yield "animated.png", saved(RGB, "PNG", **moving), RGB
    yield "rgb.webp", saved(RGB, "WEBP", lossless=True), RGB
    rgba = np.dstack([RGB, ALPHA])
    yield "rgba.webp", saved(rgba, "WEBP", lossless=True, exact=True), on_white(RGB, ALPHA)
    yield "lossy.webp", saved(np.full((16, 16, 3), 77, np.uint8), "WEBP"), _flat(77), 3
    yield "flat.avif", saved(np.full((16, 16, 3), 77, np.uint8), "AVIF"), _flat(77), 3
    grey_frames = {**moving, "append_images": [Image.fromarray(255 - GREY)]}
    yield "animated.gif", saved(GREY, "GIF", **grey_frames), GREY
    shape = np.zeros((12, 20), np.uint8)
    shape[3:9, 5:15] = 1
    drawn = Image.fromarray(shape)
    drawn.putpalette([255, 0, 0, 0, 0, 255])
    seen = np.where(shape == 0, 0, 255).astype(np.uint8)
    data = saved(drawn, "GIF", transparency=0)
    yield "clear.gif", data, on_white(np.dstack([0 * shape, 0 * shape, 255 * shape]), seen)
    yield "rgb.bmp", saved(RGB, "BMP"), RGB
    yield "grey.bmp", saved(GREY, "BMP"), GREY
    yield "rgb.ppm", b"P6 20 12 255\n" + RGB.tobytes(), RGB
    text = " ".join(str(value) for value in GREY.ravel().tolist())
    yield "plain.pgm", f"P2\n# a remark\n20 12\n255\n{text}\n".encode(), GREY
    deep = DEEP[..., 0]
    yield "grey16.pgm", b"P5 20 12 65535\n" + deep.astype(">u2").tobytes(), by_257(deep)


def _flat(level: int) -> np.ndarray:
    return np.full((16, 16, 3), level, np.uint8)


def _profiles() -> Iterator[Good]:
    seen = np.rint(srgb_encoded(RGB / 255) * 255).astype(np.uint8)
    yield "linear.png", saved(RGB, "PNG", icc_profile=linear_profile()), seen
    swapped = saved(RGB, "PNG", icc_profile=linear_profile(swapped=True))
    yield "swapped.png", swapped, np.ascontiguousarray(seen[..., ::-1]), 2
    rgba = saved(np.dstack([RGB, ALPHA]), "PNG", icc_profile=linear_profile())
    yield "linear_alpha.png", rgba, on_white(seen, ALPHA)
    standard = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "standard.png", saved(RGB, "PNG", icc_profile=standard), RGB, 0
    yield "no_profile.png", saved(RGB, "PNG", icc_profile=b"not a profile" * 20), RGB, 0
    yield "grey_with_rgb_profile.png", saved(GREY, "PNG", icc_profile=linear_profile()), GREY, 0
