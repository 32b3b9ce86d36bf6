"""Squares cut out of large pictures, so that details keep their size: a source made of a source."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.dataset import Pixels
from mezzotint.data.entry import Entry, Skip, Source, Split
from mezzotint.data.splits import split_by_content, split_by_source
from mezzotint.data.wholes import Wholes, open_wholes, require_tiles

MOST_SQUARES, LEAST_A_PICTURE = 12_000, 4
MARK = "@"  # between a picture's name and where a square lies


@dataclass(frozen=True)
class Square:
    """A square of a picture: which, and where its top left corner is."""

    picture: int
    top: int
    left: int


@dataclass
class Cut:
    """A source of squares; each picture is decoded once as long as squares are read in order.

    Attributes: those of :class:`mezzotint.data.entry.Source`.
    """

    pictures: Wholes
    side: int
    squares: Sequence[Square]
    entries: Sequence[Entry]
    spec: str
    skipped: Sequence[Skip] = ()
    stamp: str = ""
    classes: tuple[str, ...] = ()
    _held: tuple[int, Pixels] | None = field(default=None, repr=False)

    def read(self, index: int) -> NDArray[np.uint8]:
        """The square's pixels.

        Raises:
            DataError: its picture cannot be read any more.
        """
        square = self.squares[index]
        if self._held is None or self._held[0] != square.picture:
            self._held = square.picture, self.pictures.pixels(square.picture)
        rows = slice(square.top, square.top + self.side)
        return self._held[1][rows, square.left : square.left + self.side].copy()


def cut(source: Source, side: int) -> Cut:
    """Squares of every picture of a source, side by side at first, at random where they are many.

    All squares of a picture are on the side of the split that the picture is on.

    Args:
        source: pictures, none smaller than a square.
        side: of the squares, in pixels.

    Raises:
        DataError: a picture is smaller than that, or none can be read.
    """
    pictures = open_wholes(source)
    require_tiles(pictures, side)
    most = max(LEAST_A_PICTURE, MOST_SQUARES // len(pictures))
    sides = held_out_pictures(pictures)
    squares, entries = [], []
    for at, (entry, size) in enumerate(zip(pictures.entries, pictures.sizes, strict=True)):
        for top, left in _corners(size, side, most, at):
            squares.append(Square(at, top, left))
            named = f"{entry.name}{MARK}{left},{top}"
            split: Split = "held_out" if sides[at] else "train"
            entries.append(replace(entry, name=named, split=split))
    classes = tuple(getattr(source, "classes", ()))
    return Cut(pictures, side, squares, entries, source.spec, pictures.skipped, "", classes)


def held_out_pictures(pictures: Wholes) -> NDArray[np.bool_]:
    """(n,) True where a picture is held out: as the source says, else by content."""
    told = split_by_source([entry.split for entry in pictures.entries])
    if told is not None:
        return told
    return split_by_content([bytes.fromhex(digest) for digest in pictures.digests])


def picture_of(name: str) -> str:
    """The name of the picture that a square of this name was cut out of."""
    return name.rpartition(MARK)[0] or name


def _corners(size: tuple[int, int], side: int, most: int, seed: int) -> list[tuple[int, int]]:
    """Top and left of squares that cover a picture, ``most`` of them drawn if there are more."""
    tops, lefts = (_along(length, side) for length in size)
    every = [(top, left) for top in tops for left in lefts]
    if len(every) <= most:
        return every
    chosen = np.random.default_rng(seed).permutation(len(every))[:most]
    return [every[at] for at in sorted(chosen.tolist())]


def _along(length: int, side: int) -> list[int]:
    count = -(-length // side)
    return [round((length - side) * at / max(count - 1, 1)) for at in range(count)]
