"""Files of a folder or archive as one flat list, so that one set of rules reads them all."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mezzotint.data.cache import printable
from mezzotint.data.entry import Entry, Skip

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".avif", ".ppm", ".pgm"),
)
FOREIGN_SUFFIXES = (
    *(".heic", ".heif", ".svg", ".psd", ".xcf", ".jxl", ".jp2", ".j2k", ".dds", ".exr", ".hdr"),
    *(".ico", ".icns", ".tga", ".qoi", ".eps", ".fits", ".fit", ".dcm", ".cr2", ".cr3", ".nef"),
    *(".arw", ".dng", ".pef", ".srw", ".nrw", ".orf", ".rw2", ".raf", ".pdf"),
)


@dataclass(frozen=True)
class File:
    """One file below the root of a tree.

    Attributes:
        name: path below the root with forward slashes, as the tree spells it.
        size: bytes.
        mark: changes when the file does: modification time in a folder, checksum in an archive.
        at: where the tree finds it again, for trees that need a position.
    """

    name: str
    size: int
    mark: int = 0
    at: int = 0


class Tree(Protocol):
    """Reads files by their record. Implementations are small and picklable."""

    @property
    def where(self) -> str:
        """Path of the folder or archive, for messages."""
        ...

    def read(self, file: File) -> bytes:
        """Content of a file.

        Raises:
            OSError: it cannot be read or is larger than the limit.
        """
        ...


@dataclass(frozen=True)
class Listing:
    """Every file of a tree.

    Attributes:
        tree: reads them.
        files: in the order of their names.
        skipped: image-like files that were left out while listing.
        identity: path of the tree, and for an archive also its size and modification time.
    """

    tree: Tree
    files: Sequence[File]
    skipped: Sequence[Skip]
    identity: str


@dataclass(eq=False)
class FileSource:
    """A source over encoded images in a tree; ``files`` runs parallel to ``entries``."""

    spec: str
    tree: Tree
    files: Sequence[File]
    entries: Sequence[Entry]
    skipped: Sequence[Skip]
    stamp: str
    classes: tuple[str, ...] = ()
    parallel: bool = True

    def read(self, index: int) -> bytes:
        """Encoded bytes of one image.

        Raises:
            OSError: it cannot be read any more.
        """
        return self.tree.read(self.files[index])

    def part(self, rows: Sequence[int]) -> "FileSource":
        """The images at ``rows`` alone, small enough to send to another process."""
        files = [self.files[row] for row in rows]
        entries = [self.entries[row] for row in rows]
        return FileSource(self.spec, self.tree, files, entries, (), "", self.classes)


def is_image(name: str) -> bool:
    """Whether the ending of a file name is that of an image."""
    return suffix(name) in IMAGE_SUFFIXES


def suffix(name: str) -> str:
    """The ending of a file name in lower case, with its dot."""
    base = name.rpartition("/")[2]
    return "." + base.rpartition(".")[2].lower() if "." in base[1:] else ""


def is_hidden(part: str) -> bool:
    """Whether one part of a path is hidden, or made by macOS's archiver alone."""
    return part == "__MACOSX" or (part.startswith(".") and part.strip(".") != "")


def hidden_skip(name: str) -> list[Skip]:
    """How a hidden file is reported: not at all, unless its name is that of an image."""
    return [skip(name, "not-image", "a hidden file")] if is_image(name) else []


def listing_stamp(listing: Listing) -> str:
    """Digest of a listing: place, names, sizes and marks."""
    total = hashlib.sha256(listing.identity.encode("utf-8", "surrogateescape"))
    for file in listing.files:
        line = f"\0{file.name}\0{file.size}\0{file.mark}"
        total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def skip(name: str, reason: str, detail: str) -> Skip:
    """A skip with a printable name."""
    return Skip(printable(name), reason, detail)
