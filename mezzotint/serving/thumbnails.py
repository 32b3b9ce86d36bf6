"""Smaller versions of the pictures that runs draw, made when first asked for, in bounded memory."""

import io
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from PIL import Image

View: TypeAlias = Literal["small", "medium"]
SIDES: dict[View, int] = {"small": 560, "medium": 1280}  # pixels: a card, a run's page; twice each
MOST_BYTES = 32 << 20  # kept of all thumbnails together
MOST_PIXELS = 64_000_000  # of a picture that is made smaller; a larger one is given as it is
QUALITY = 88
PNG = "image/png"


class Thumbnail(NamedTuple):
    """A file as a browser gets it."""

    content: bytes
    kind: str


class Thumbnails:
    """The thumbnails used last.

    Args:
        most: bytes of all that are kept.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._kept = most, 0
        self._held: OrderedDict[tuple[Path, str, str], Thumbnail] = OrderedDict()
        self._lock, self._making = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        """Bytes that are kept."""
        return self._kept

    def of(self, path: Path, mark: str, view: View, content: bytes) -> Thumbnail:
        """A picture at most so large as a view needs it.

        Args:
            path: of the file.
            mark: changes when the file does.
            view: how large.
            content: of the file; given back where it is small enough, or no picture we can read.
        """
        key = (path, mark, view)
        if (found := self._known(key)) is not None:
            return found
        with self._making:  # one decoded sheet at a time
            found = self._known(key) or smaller(content, SIDES[view])
        self._keep(key, found)
        return found

    def _known(self, key: tuple[Path, str, str]) -> Thumbnail | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def _keep(self, key: tuple[Path, str, str], made: Thumbnail) -> None:
        with self._lock:
            if key in self._held or len(made.content) > self._most:
                return
            self._held[key] = made
            self._kept += len(made.content)
            while self._kept > self._most:
                _, gone = self._held.popitem(last=False)
                self._kept -= len(gone.content)


def smaller(content: bytes, side: int) -> Thumbnail:
    """A PNG brought to ``side`` pixels a side: JPEG, or WebP where something shows through.

    The file itself comes back where it is no larger than that, is lighter, or cannot be read.
    """
    whole = Thumbnail(content, PNG)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if max(picture.size) <= side or picture.width * picture.height > MOST_PIXELS:
                return whole
            made = _shrunk(picture, side)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return whole
    return made if len(made.content) < len(content) else whole


def _shrunk(picture: Image.Image, side: int) -> Thumbnail:
    alpha = "A" in picture.getbands() or "transparency" in picture.info
    mode = "RGBA" if alpha else "L" if picture.mode == "L" else "RGB"
    small = picture.convert(mode)
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    if alpha:
        small.save(buffer, "WEBP", quality=QUALITY, method=1)
        return Thumbnail(buffer.getvalue(), "image/webp")
    small.save(buffer, "JPEG", quality=QUALITY)
    return Thumbnail(buffer.getvalue(), "image/jpeg")
