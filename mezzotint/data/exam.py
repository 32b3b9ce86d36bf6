"""One image under examination: header, pixels and fingerprint from a single decode."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mezzotint.alpha import over
from mezzotint.data.entry import Entry, Skip
from mezzotint.data.hashes import SIDE, shrink
from mezzotint.imaging.colour import Channels
from mezzotint.imaging.decode import ImageInfo, Unreadable, decode, probe

ENOUGH = (2 * SIDE, 2 * SIDE)  # height and width a large JPEG is decoded at, at least
LARGE = 8_000_000  # pixels of a picture that threads examine one at a time, to bound memory
FLAT = 2  # levels between the darkest and the brightest value of a constant image

_ALONE = ThreadPoolExecutor(1)  # one thread keeps one heap, where each would keep its own
_STRIP = 1 << 18  # pixels
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_WHITE = 255


@dataclass(frozen=True)
class Exam:
    """What one readable image turned out to be.

    Attributes:
        entry: the image.
        info: its header.
        grey: no colour can be seen.
        transparent: some pixel is not opaque.
        flat: every pixel has the same colour once transparency is laid on white.
        reduced: decoded at less than full size, so that ``digest`` is of those pixels.
        digest: SHA-256 over size and pixels.
    """

    entry: Entry
    info: ImageInfo
    grey: bool
    transparent: bool
    flat: bool
    reduced: bool
    digest: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as displayed."""
        return self.info.height, self.info.width


def examine(entry: Entry, content: bytes | np.ndarray) -> tuple[Exam, np.ndarray] | Skip:
    """An image and its picture squeezed to uint8 (32, 32, 3), or why it cannot be read.

    Args:
        entry: the image.
        content: encoded file, or uint8 HWC pixels with 1, 3 or 4 channels.
    """
    try:
        if isinstance(content, np.ndarray):
            return _describe(entry, _array_info(content), content)
        info = probe(content, entry.name)
        channels: Channels = 4 if info.has_alpha else 3
        if info.width * info.height > LARGE:
            return _ALONE.submit(_decoded, entry, info, content, channels).result()
        return _decoded(entry, info, content, channels)
    except Unreadable as error:
        return Skip(entry.name, error.reason, error.detail)


def _decoded(
    entry: Entry, info: ImageInfo, content: bytes, channels: Channels
) -> tuple[Exam, np.ndarray]:
    return _describe(entry, info, decode(content, entry.name, channels, at_least=ENOUGH))


def full_digest(name: str, content: bytes) -> bytes:
    """SHA-256 of the pixels at full size, or of the file where that is too large to decode."""
    try:
        return _digest(decode(content, name, 3))
    except Unreadable:
        return hashlib.sha256(content).digest()


def _array_info(pixels: np.ndarray) -> ImageInfo:
    height, width, channels = pixels.shape
    return ImageInfo(width, height, _MODES[channels], 8, 1, "array", channels == 4, channels == 1)


def _describe(entry: Entry, info: ImageInfo, pixels: np.ndarray) -> tuple[Exam, np.ndarray]:
    pixels, alpha = _separate(pixels)
    shown = pixels if alpha is None else _on_white(pixels, alpha)
    small = shrink(shown)
    exam = Exam(
        entry=entry,
        info=info,
        grey=info.grey or _colourless(small),
        transparent=alpha is not None,
        flat=_is_flat(shown, small),
        reduced=pixels.shape[:2] != (info.height, info.width),
        digest=_digest(pixels, alpha),
    )
    return exam, small


def _separate(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour as (H, W, 3), and alpha as (H, W, 1) unless every pixel is opaque."""
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2), None
    if pixels.shape[2] == 3:
        return pixels, None
    colour, alpha = np.ascontiguousarray(pixels[..., :3]), pixels[..., 3:]
    return colour, None if (alpha == _WHITE).all() else alpha


def _on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Strip by strip: the numbers on the way are wider than pixels."""
    shown, step = np.empty_like(colour), max(1, _STRIP // colour.shape[1])
    for top in range(0, len(colour), step):
        rows = slice(top, top + step)
        shown[rows] = over(np.concatenate([colour[rows], alpha[rows]], axis=-1), _WHITE)
    return shown


def _digest(colour: np.ndarray, alpha: np.ndarray | None = None) -> bytes:
    total = hashlib.sha256(repr(colour.shape[:2]).encode())
    total.update(np.ascontiguousarray(colour).data)
    if alpha is not None:
        total.update(np.ascontiguousarray(alpha).data)
    return total.digest()


def _colourless(small: np.ndarray) -> bool:
    red, green, blue = _planes(small).astype(np.int16)
    return bool(max(np.abs(red - green).max(), np.abs(green - blue).max()) <= 1)


def _is_flat(shown: np.ndarray, small: np.ndarray) -> bool:
    """Averages span no more than what they are made of, and ``small`` is far quicker to search."""
    rounding = 1
    return _span(small) <= FLAT + rounding and _span(shown) <= FLAT


def _span(image: np.ndarray) -> int:
    """Levels between the least and the greatest value of any one channel."""
    planes = _planes(image)
    return int((planes.max(axis=(1, 2)) - planes.min(axis=(1, 2))).max())


def _planes(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(image, -1, 0))
