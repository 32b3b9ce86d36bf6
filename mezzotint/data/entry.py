"""What a source of images offers: entries in a fixed order, and the content of each on request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

Split = Literal["train", "held_out"]


@dataclass(frozen=True)
class Entry:
    """One image of a source, before it is read.

    Attributes:
        name: path inside the source with forward slashes, or a made-up one like ``00042``.
        label: class name, or None.
        caption: text that describes the image, or None.
        split: the side the source itself puts it on, or None when it does not say.
    """

    name: str
    label: str | None = None
    caption: str | None = None
    split: Split | None = None


@dataclass(frozen=True)
class Skip:
    """A file that was left out, and why.

    Attributes:
        name: path inside the source.
        reason: short stable word: ``corrupt``, ``unsupported``, ``empty``, ``too-large``,
            ``not-image``, ``unreadable``, ``outside``, ``duplicate-name``, ``missing`` (named in a
            metadata file and not there), ``unlisted`` (there and not in the metadata file).
        detail: one readable sentence.
    """

    name: str
    reason: str
    detail: str = ""


class Source(Protocol):
    """A place images come from. Implementations are small, picklable and read-only.

    Attributes:
        spec: what the user typed.
        entries: every image, in an order that depends on the names alone.
        skipped: what the listing left out.
        stamp: digest of the listing (names, sizes, modification times); equal stamps mean that
            nothing changed since.
    """

    spec: str
    entries: Sequence[Entry]
    skipped: Sequence[Skip]
    stamp: str

    def read(self, index: int) -> bytes | np.ndarray:
        """Encoded file bytes, or pixels as uint8 HWC with 1, 3 or 4 channels.

        Raises:
            OSError: the content cannot be read any more.
        """
        ...
