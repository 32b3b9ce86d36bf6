"""Writers of PNG, TIFF and ICC by hand, so that the zoo owes nothing to the library under test."""

import struct
import zlib
from collections.abc import Iterable
from typing import Literal

import numpy as np

Chunks = Iterable[tuple[bytes, bytes]]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# D50-adapted primaries of sRGB (ICC specification of sRGB): X, Y, Z of red, green and blue.
_PRIMARIES = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
_WHITE = (0.9642, 1.0, 0.8249)
# EXIF 2.32, tag 274: the visual side that the stored row 0 and column 0 lie on.
_SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    checksum = zlib.crc32(kind + payload)
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", checksum)


def png_header(width: int, height: int, bits: int, colour: int, interlace: int = 0) -> bytes:
    payload = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    return SIGNATURE + png_chunk(b"IHDR", payload)


def packed_rows(values: np.ndarray, bits: int) -> bytes:
    """Scanlines with filter type 0; samples below eight bits share bytes, highest bit first."""
    height = values.shape[0]
    flat = values.reshape(height, -1)
    if bits == 16:
        body = np.ascontiguousarray(flat.astype(">u2")).view(np.uint8)
    elif bits == 8:
        body = flat.astype(np.uint8)
    else:
        singles = flat[..., None] >> np.arange(bits - 1, -1, -1) & 1
        body = np.packbits(singles.astype(np.uint8).reshape(height, -1), axis=1)
    return np.hstack([np.zeros((height, 1), np.uint8), body]).tobytes()


def png(
    values: np.ndarray, bits: int = 8, colour: int = 0, extra: Chunks = (), tail: Chunks = ()
) -> bytes:
    """A PNG of samples HW or HWC; ``extra`` chunks stand before the pixels, ``tail`` behind."""
    data = zlib.compress(packed_rows(values, bits))
    return _assembled(values, bits, colour, data, extra, tail, 0)


def interlaced_png(values: np.ndarray, colour: int) -> bytes:
    """An 8-bit PNG in the seven passes of Adam7 (PNG specification, section 8.1)."""
    starts = ((0, 0), (0, 4), (4, 0), (0, 2), (2, 0), (0, 1), (1, 0))
    steps = ((8, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1))
    passes = [values[y::dy, x::dx] for (y, x), (dy, dx) in zip(starts, steps)]
    raw = b"".join(packed_rows(one, 8) for one in passes if one.size)
    return _assembled(values, 8, colour, zlib.compress(raw), (), (), 1)


def _assembled(
    values: np.ndarray,
    bits: int,
    colour: int,
    data: bytes,
    extra: Chunks,
    tail: Chunks,
    interlace: int,
) -> bytes:
    height, width = values.shape[:2]
    parts = [png_header(width, height, bits, colour, interlace)]
    parts += [png_chunk(kind, payload) for kind, payload in extra]
    parts += [png_chunk(b"IDAT", data)]
    parts += [png_chunk(kind, payload) for kind, payload in tail]
    return b"".join([*parts, png_chunk(b"IEND", b"")])


def bomb_png(side: int) -> bytes:
    """A valid 8-bit grey PNG of side x side zeros; a few hundred kilobytes."""
    block = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    count, rest = divmod(side * (side + 1), len(block))
    last = zlib.compressobj(9, zlib.DEFLATED, -15)
    end = last.compress(bytes(rest)) + last.flush()
    # Adler-32 of n zero bytes: the low half stays 1, the high half counts n.
    adler = struct.pack(">HH", side * (side + 1) % 65521, 1)
    data = b"\x78\xda" + piece * count + end + adler
    body = png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return png_header(side, side, 8, 0) + body


def tiff(
    values: np.ndarray,
    order: Literal["<", ">"] = "<",
    photometric: int = 1,
    orientation: int = 1,
    size: tuple[int, int] | None = None,
) -> bytes:
    """An uncompressed one-strip TIFF of an array HW or HWC; ``size`` (H, W) may lie."""
    height, width = size or values.shape[:2]
    channels = values.shape[2] if values.ndim == 3 else 1
    body = values.astype(values.dtype.newbyteorder(order)).tobytes()
    form = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {
        256: [width],
        257: [height],
        258: [values.dtype.itemsize * 8] * channels,
        259: [1],
        262: [photometric],
        273: [8],
        274: [orientation],
        277: [channels],
        278: [height],
        279: [len(body)],
        339: [form] * channels,
    }
    directory = _directory(tags, order, 8 + len(body) + len(body) % 2)
    start = struct.pack(order + "HI", 42, 8 + len(body) + len(body) % 2)
    mark = b"II" if order == "<" else b"MM"
    return mark + start + body + b"\0" * (len(body) % 2) + directory


def _directory(tags: dict[int, list[int]], order: str, at: int) -> bytes:
    """An image file directory; values that do not fit into four bytes follow it."""
    entries, overflow = b"", b""
    after = at + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        if len(numbers) == 1:
            entries += struct.pack(order + "HHII", tag, 4, 1, numbers[0])
            continue
        shorts = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(shorts) <= 4:
            entries += struct.pack(order + "HHI", tag, 3, len(numbers)) + shorts.ljust(4, b"\0")
            continue
        entries += struct.pack(order + "HHII", tag, 3, len(numbers), after + len(overflow))
        overflow += shorts
    return struct.pack(order + "H", len(tags)) + entries + b"\0" * 4 + overflow


def exif(orientation: int) -> bytes:
    """A TIFF-form EXIF block that holds tag 274 alone, without the ``Exif`` prefix."""
    entry = struct.pack(">HHIHH", 274, 3, 1, orientation, 0)
    return b"MM\x00*\x00\x00\x00\x08" + struct.pack(">H", 1) + entry + b"\0" * 4


def as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera with this orientation tag stores an upright picture."""
    rows, columns = _SIDES[orientation]
    stored = upright if rows in ("top", "bottom") else upright.swapaxes(0, 1)
    if rows in ("bottom", "right"):
        stored = stored[::-1]
    if columns in ("bottom", "right"):
        stored = stored[:, ::-1]
    return np.ascontiguousarray(stored)


def linear_profile(swapped: bool = False) -> bytes:
    """An ICC v2 display profile: sRGB primaries, gamma 1; ``swapped`` trades red for blue."""
    primaries = _PRIMARIES[::-1] if swapped else _PRIMARIES
    curve = b"curv" + bytes(8)
    text = b"desc" + bytes(4) + struct.pack(">I", 7) + b"linear\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": _xyz(_WHITE)}
    tags |= {name: _xyz(value) for name, value in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI", 128 + len(table + body), b"none", 0x02100000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    return (head + _xyz(_WHITE)[8:]).ljust(128, b"\0") + table + body


def _xyz(value: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(part * 65536) for part in value))


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1: linear light in [0, 1] to the sRGB value in [0, 1]."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
