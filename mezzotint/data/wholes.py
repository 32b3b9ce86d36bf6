"""Pictures at the size they have, decoded one by one: for those too large to be packed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mezzotint.data.dataset import Pixels
from mezzotint.data.entry import Entry, Skip, Source
from mezzotint.data.work import look, recolour
from mezzotint.errors import DataError
from mezzotint.imaging.colour import Channels
from mezzotint.imaging.decode import Unreadable, decode

BACKGROUND = (255, 255, 255)


@dataclass(frozen=True)
class Wholes:
    """Pictures of any sizes.

    Attributes:
        source: reads them.
        rows: which entries of the source they are.
        sizes: (height, width) of each.
        channels: that they are decoded with.
        digests: of each file.
        skipped: what cannot be read.
    """

    source: Source
    rows: Sequence[int]
    sizes: Sequence[tuple[int, int]]
    channels: Channels
    digests: Sequence[str]
    skipped: Sequence[Skip] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def entries(self) -> list[Entry]:
        """What is known of each beside its pixels."""
        return [self.source.entries[row] for row in self.rows]

    @property
    def names(self) -> tuple[str, ...]:
        """A name each."""
        return tuple(entry.name for entry in self.entries)

    def pixels(self, at: int) -> Pixels:
        """Picture ``at``, uint8 (H, W, C).

        Raises:
            DataError: it cannot be read any more.
        """
        row = self.rows[at]
        name = self.source.entries[row].name
        try:
            content = self.source.read(row)
            if isinstance(content, np.ndarray):
                return recolour(content, self.channels, BACKGROUND)
            return decode(content, name, self.channels, BACKGROUND)
        except (OSError, Unreadable) as error:
            raise DataError(f"a picture cannot be read: {error}", name) from error

    def subset(self, at: Sequence[int]) -> "Wholes":
        """The pictures at these positions."""
        return replace(
            self,
            rows=[self.rows[i] for i in at],
            sizes=[self.sizes[i] for i in at],
            digests=[self.digests[i] for i in at],
        )


def open_wholes(source: Source, channels: Channels | None = None) -> Wholes:
    """The pictures of a source whose header can be read.

    Args:
        source: the pictures.
        channels: to decode with; None: 1 if every picture is grey, else 3.

    Raises:
        DataError: none can.
    """
    found = list(enumerate(look(source)))
    good = [(at, seen) for at, seen in found if not isinstance(seen, Skip)]
    skipped = [seen for _, seen in found if isinstance(seen, Skip)]
    if not good:
        raise DataError("no picture in it can be read", source.spec)
    grey = all(seen.grey for _, seen in good)
    return Wholes(
        source,
        [at for at, _ in good],
        [seen.size for _, seen in good],
        channels or (1 if grey else 3),
        [seen.digest for _, seen in good],
        [*source.skipped, *skipped],
    )


def require_tiles(pictures: Wholes, tile: int) -> None:
    """Check that a tile fits into every picture.

    Raises:
        DataError: into one it does not.
    """
    for name, (height, width) in zip(pictures.names, pictures.sizes, strict=True):
        if min(height, width) < tile:
            raise DataError(
                f"a picture of {width}x{height} pixels is smaller than a tile of {tile}",
                f"{pictures.source.spec}: {name}",
                "take it out of the folder, or leave --tile off: every picture is then shrunk",
            )
