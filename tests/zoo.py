"""A zoo of image files, good and bad, each with the verdict or the pixels it must give."""

import itertools
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from zoo_pictures import COLOURS, GREY, RANDOM, RGB, as_rgb, good_files, saved
from zoo_writers import SIGNATURE, bomb_png, png, png_chunk, png_header, tiff

Bad = tuple[str, bytes, str]


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        name: path inside the zoo's folder.
        expect: whether a data set keeps the file.
        reason: of ``mezzotint.data.entry.Skip`` when it is left out.
        reference: uint8 HWC, RGB on white, computed from the array the file was written from.
        tolerance: levels of 255 a kept pixel may differ by; above 1 for lossy formats only.
        level: ``listing`` for files whose trouble is their name or place, not their bytes.
    """

    name: str
    expect: Literal["keep", "skip"]
    reason: str = ""
    reference: np.ndarray | None = None
    tolerance: int = 1
    level: Literal["decode", "listing"] = "decode"


def build_zoo(folder: Path) -> list[Case]:
    """Write every file of the zoo into ``folder`` and say what must become of each."""
    cases = []
    for name, data, reference, *rest in good_files():
        (folder / name).write_bytes(data)
        cases.append(Case(name, "keep", "", as_rgb(reference), sum(rest) if rest else 1))
    for name, data, reason in itertools.chain(_cut_short(), _damaged(), _bombs(), _foreign()):
        (folder / name).write_bytes(data)
        cases.append(Case(name, "skip", reason))
    return cases + list(_listing(folder))


def _cut_short() -> Iterator[Bad]:
    noisy = RANDOM.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    whole = {
        "jpg": (saved(noisy, "JPEG"), 20),
        "progressive.jpg": (saved(noisy, "JPEG", progressive=True), 6),
        "png": (png(noisy, 8, 2), 8),
        "webp": (saved(noisy, "WEBP"), 4),
        "gif": (saved(noisy, "GIF"), 4),
        "bmp": (saved(noisy, "BMP"), 3),
        "tif": (tiff(noisy, photometric=2), 3),
        "lzw.tif": (saved(noisy, "TIFF", compression="tiff_lzw"), 3),
        "avif": (saved(noisy, "AVIF"), 4),
        "ppm": (saved(noisy, "PPM"), 3),
    }
    for suffix, (data, count) in whole.items():
        for part in range(1, count + 1):
            cut = len(data) * part // (count + 1)
            yield f"cut{part:02d}.{suffix}", data[: max(cut, 16)], "corrupt"
    yield "no_end.png", png(noisy, 8, 2)[:-12], "corrupt"


def _damaged() -> Iterator[Bad]:
    good = png(RGB, 8, 2)
    yield "empty.png", b"", "empty"
    noted = png(RGB, 8, 2, [(b"tEXt", b"a\0b")])
    yield "bad_text_crc.png", noted.replace(b"a\0b", b"a\0c"), "corrupt"
    yield "bad_header_crc.png", _flipped(good, 30), "corrupt"
    yield "bad_pixel_crc.png", _flipped(good, len(good) - 13), "corrupt"
    yield "bad_pixels.png", _flipped(good, 60), "corrupt"
    rows = zlib.compress(bytes(30))
    header, end = png_header(20, 12, 8, 2), png_chunk(b"IEND", b"")
    yield "few_rows.png", header + png_chunk(b"IDAT", rows) + end, "corrupt"
    yield "no_pixels.png", header + end, "corrupt"
    yield "zero_wide.png", png_header(0, 12, 8, 2) + png_chunk(b"IDAT", rows) + end, "corrupt"
    yield "head_only.jpg", b"\xff\xd8\xff\xe0" + bytes(20), "corrupt"
    hollow = np.ones((4, 5), np.float32)
    hollow[2, 2] = np.nan
    yield "nan.tif", tiff(hollow), "corrupt"
    yield "infinite.tif", tiff(np.where(hollow > 0, hollow, np.inf).astype(np.float32)), "corrupt"
    chunk = b"note\0\0" + zlib.compress(bytes(8 << 20))
    yield "text_bomb.png", png(RGB, 8, 2, [(b"zTXt", chunk)]), "corrupt"


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def _bombs() -> Iterator[Bad]:
    """Small files that claim, or hold, very many pixels."""
    pixels, end = png_chunk(b"IDAT", zlib.compress(bytes(99))), png_chunk(b"IEND", b"")
    yield "claim65535.png", png_header(65535, 65535, 8, 6) + pixels + end, "too-large"
    yield "bomb20000.png", bomb_png(20000), "too-large"
    yield "bomb9000.png", bomb_png(9000), "too-large"
    yield "claim.ppm", b"P6 60000 60000 255\n" + bytes(64), "too-large"
    yield "claim.tif", tiff(RGB, photometric=2, size=(50000, 50000)), "too-large"
    small = saved(COLOURS, "JPEG")
    at = small.index(b"\xff\xc0") + 5
    yield "claim.jpg", small[:at] + b"\xff\xdc\xff\xdc" + small[at + 4 :], "too-large"
    picture = saved(RGB, "BMP")
    yield "claim.bmp", picture[:18] + struct.pack("<ii", 40000, 40000) + picture[26:], "too-large"
    packed = saved(RGB, "WEBP", lossless=True)
    at = packed.index(b"VP8L") + 9
    yield "claim.webp", packed[:at] + b"\xff\xff\xff\x0f" + packed[at + 4 :], "too-large"
    frame = saved(GREY, "GIF")
    yield "claim.gif", frame[:6] + b"\xff\xff\xff\xff" + frame[10:], "too-large"


def _foreign() -> Iterator[Bad]:
    yield "text.png", b"this is a letter, not a picture\n", "not-image"
    yield "zeros.png", bytes(4096), "not-image"
    yield "page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "not-image"
    yield "pointer.png", b"version https://git-lfs.example/spec/v1\noid sha256:00\n", "not-image"
    yield "drawing.svg", b'<?xml version="1.0"?>\n<svg xmlns="x" width="9"></svg>', "unsupported"
    yield "layers.psd", b"8BPS\0\x01" + bytes(40), "unsupported"
    yield "sky.fits", b"SIMPLE  =                    T".ljust(2880), "unsupported"
    yield "phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), "unsupported"
    yield "icon.ico", b"\0\0\x01\0\x01\0" + bytes(40), "unsupported"
    yield "wave.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "unsupported"
    yield "paper.pdf", b"%PDF-1.7\n" + bytes(40), "unsupported"
    yield "raw.dng", tiff(RGB, photometric=2), "unsupported"
    yield "signature.png", SIGNATURE, "corrupt"


def _listing(folder: Path) -> Iterator[Case]:
    """Files that are told apart by name, kind and permission, before any byte is read."""
    good = png(RGB, 8, 2)
    for name in (os.fsdecode(b"latin\xe9.png"), "new\nline.png", "same.png", "same.bmp"):
        (folder / name).write_bytes(saved(RGB, "BMP") if name.endswith("bmp") else good)
        yield Case(name, "keep", "", RGB, level="listing")
    (folder / "._x.jpg").write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(100))
    yield Case("._x.jpg", "skip", "not-image", level="listing")
    (folder / "loop.png").symlink_to("loop.png")
    yield Case("loop.png", "skip", "unreadable", level="listing")
    (folder / "dangling.png").symlink_to("nowhere.png")
    yield Case("dangling.png", "skip", "unreadable", level="listing")
    (folder / "folder.png").mkdir()
    yield Case("folder.png", "skip", "not-image", level="listing")
    if os.geteuid() != 0:
        (folder / "locked.png").write_bytes(good)
        (folder / "locked.png").chmod(0)
        yield Case("locked.png", "skip", "unreadable", level="listing")
