"""Many pictures on one sheet."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mezzotint.alpha import on_checkerboard

_SHORT, _LONG = 480, 1600  # pixels: what a sheet's shorter side should reach, its longer not pass
_MARGIN = 8  # pixels around a caption
_TEXT, _NARROW = 15, 480  # pixels of a heading's letters, and its least width
_BLOCK_GAP = 4  # gaps between blocks of rows, in units of the gap between pictures


def grid(
    pixels: np.ndarray,
    columns: int | None = None,
    gap: int = 2,
    scale: int | None = None,
    background: int = 255,
    see_through: bool = False,
) -> np.ndarray:
    """Pictures side by side, row after row, in reading order; RGBA lies on checkerboards of greys.

    Args:
        pixels: uint8 NHWC, N at least 1.
        columns: pictures in a row; by default the sheet comes out about square.
        gap: pixels between pictures.
        scale: whole factor each picture is enlarged by, nearest neighbour; by default the smallest
            that brings the sheet's shorter side to 480 pixels without its longer one passing 1600.
        background: grey level of gaps and empty cells.
        see_through: leave the alpha of RGBA to whoever shows the sheet.

    Returns:
        uint8 HWC with 1 channel or 3; 4 of what is see-through.
    """
    _check(pixels)
    pixels = pixels if see_through else on_checkerboard(pixels)
    count, height, width, channels = pixels.shape
    columns = _columns(count, height, width) if columns is None else max(1, min(columns, count))
    rows = -(-count // columns)
    scale = _scale(rows * height, columns * width) if scale is None else max(1, scale)
    tall, wide = height * scale + gap, width * scale + gap
    sheet = np.full((rows * tall - gap, columns * wide - gap, channels), background, np.uint8)
    for index, picture in enumerate(pixels):
        top, left = index // columns * tall, index % columns * wide
        sheet[top : top + tall - gap, left : left + wide - gap] = _enlarged(picture, scale)
    return sheet


def rows_grid(
    series: Sequence[np.ndarray],
    columns: int | None = None,
    gap: int = 2,
    scale: int | None = None,
    background: int = 255,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """Several series of the same pictures above each other: originals, corrupted, rebuilt.

    Each block holds ``columns`` pictures, one row a series; further blocks follow below.

    Args:
        series: arrays uint8 NHWC of one N, H and W; grey and RGB may be mixed.
        columns: pictures in a row; by default the sheet comes out about square.
        gap, scale, background: as for :func:`grid`; blocks stand four gaps apart.
        captions: a text a series, drawn at the left of each of its rows.

    Returns:
        uint8 HWC.
    """
    alike = _alike(series)
    count, height, width = alike[0].shape[:3]
    if columns is None:
        columns = _columns(count, height * len(alike), width)
    columns = max(1, min(columns, count))
    blocks = -(-count // columns)
    if scale is None:
        scale = _scale(blocks * len(alike) * height, columns * width)
    sheets = [
        _block([one[at : at + columns] for one in alike], columns, gap, scale, background)
        for at in range(0, count, columns)
    ]
    if captions is not None:
        sheets = [_captioned(sheet, captions, gap, background) for sheet in sheets]
    return _stacked(sheets, gap * _BLOCK_GAP, background)


def headed(sheet: np.ndarray, text: str, background: int = 255) -> np.ndarray:
    """A sheet under a text that says what is to be seen, in as many lines as it takes.

    Args:
        sheet: uint8 HWC; a narrow one is widened to ``_NARROW`` pixels.
        text: plain words.
        background: as for :func:`grid`.

    Returns:
        uint8 HWC.
    """
    wide = max(sheet.shape[1], _NARROW)
    font = ImageFont.load_default(size=_TEXT)
    lines = _wrapped(" ".join(text.split()), font.getlength, wide - 2 * _MARGIN)
    tall = round(_TEXT * 1.4)
    head = Image.new("L", (wide, tall * len(lines) + _MARGIN), background)
    draw, ink = ImageDraw.Draw(head), 0 if background > 127 else 255
    for row, line in enumerate(lines):
        draw.text((_MARGIN, row * tall + _MARGIN // 2), line, fill=ink, font=font)
    strip = _with_channels(np.array(head)[None, ..., None], sheet.shape[2])[0]
    missing = wide - sheet.shape[1]
    filled = np.pad(sheet, ((0, 0), (0, missing), (0, 0)), constant_values=background)
    return np.concatenate([strip, filled])


def _wrapped(text: str, length: Callable[[str], float], most: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if length(longer) <= most or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _check(pixels: np.ndarray) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or 0 in pixels.shape:
        raise ValueError(f"want uint8 NHWC with a picture; got {pixels.dtype} {pixels.shape}")


def _columns(count: int, height: int, width: int) -> int:
    """Columns for which rows * height is nearest to, and not above, columns * width."""
    return min(count, math.ceil(math.sqrt(count * height / width)))


def _scale(height: int, width: int) -> int:
    short, long = min(height, width), max(height, width)
    return max(1, min(-(-_SHORT // short), _LONG // long))


def _enlarged(picture: np.ndarray, scale: int) -> np.ndarray:
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def _alike(series: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The series with one number of channels: grey becomes RGB beside RGB."""
    for one in series:
        _check(one)
    if len({one.shape[:3] for one in series}) != 1:
        raise ValueError(f"series of different shapes: {[one.shape for one in series]}")
    shown = [on_checkerboard(one) for one in series]
    most = max(one.shape[3] for one in shown)
    return [_with_channels(one, most) for one in shown]


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.shape[3] == 1 and channels > 1:
        pixels = pixels.repeat(3, axis=3)
    if pixels.shape[3] == 3 and channels == 4:
        opaque = np.full((*pixels.shape[:3], 1), 255, np.uint8)
        pixels = np.concatenate([pixels, opaque], axis=3)
    return pixels


def _block(
    rows: list[np.ndarray], columns: int, gap: int, scale: int, background: int
) -> np.ndarray:
    """One row a series; rows shorter than ``columns`` are filled up with background."""
    missing = columns - len(rows[0])
    filled = [
        np.pad(row, ((0, missing), (0, 0), (0, 0), (0, 0)), constant_values=background)
        for row in rows
    ]
    return grid(np.concatenate(filled), columns, gap, scale, background)


def _captioned(sheet: np.ndarray, captions: Sequence[str], gap: int, background: int) -> np.ndarray:
    texts = [" ".join(caption.split()) for caption in captions]
    tall = (sheet.shape[0] + gap) / len(texts)
    font = ImageFont.load_default(size=max(10, min(20, round(tall / 4))))
    wide = math.ceil(max(font.getlength(text) for text in texts)) + 2 * _MARGIN
    margin = Image.new("L", (wide, sheet.shape[0]), background)
    draw, ink = ImageDraw.Draw(margin), 0 if background > 127 else 255
    for row, text in enumerate(texts):
        middle = row * tall + (tall - gap) / 2
        draw.text((wide - _MARGIN, middle), text, fill=ink, font=font, anchor="rm")
    strip = _with_channels(np.array(margin)[None, ..., None], sheet.shape[2])[0]
    return np.concatenate([strip, sheet], axis=1)


def _stacked(sheets: list[np.ndarray], gap: int, background: int) -> np.ndarray:
    space = np.full((gap, *sheets[0].shape[1:]), background, np.uint8)
    parts = [part for sheet in sheets for part in (space, sheet)]
    return np.concatenate(parts[1:])
