"""What the layout of a tree of files means: splits, classes, captions, in one set of rules."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mezzotint.data.cache import printable
from mezzotint.data.captions import METADATA, Facts, read_metadata, read_sidecars
from mezzotint.data.entry import Entry, Skip, Split
from mezzotint.data.tree import (
    FOREIGN_SUFFIXES,
    IMAGE_SUFFIXES,
    File,
    FileSource,
    Listing,
    is_image,
    listing_stamp,
    suffix,
)
from mezzotint.errors import DataError

SPLIT_FOLDERS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "held_out",
    "valid": "held_out",
    "val": "held_out",
    "test": "held_out",
}


@dataclass(frozen=True)
class Shape:
    """Where splits and classes begin in the names of a tree.

    Attributes:
        top: folder that everything lies in, with its slash, or nothing.
        sides: folders below ``top`` that are splits.
    """

    top: str
    sides: Mapping[str, Split]

    def root(self, name: str) -> str:
        """The folder, with its slash, in which the class of an image begins."""
        first = self._first(name)
        return f"{self.top}{first}/" if first in self.sides else self.top

    def side(self, name: str) -> Split | None:
        """The side of the split that an image lies on."""
        return self.sides.get(self._first(name))

    def _first(self, name: str) -> str:
        return name.removeprefix(self.top).partition("/")[0]


def arrange(spec: str, listing: Listing) -> FileSource:
    """Read a tree of files as a set of images.

    Folders ``train``, ``validation`` (``val``, ``valid``) and ``test`` at the top are splits when
    every image lies in one of them. Below, ``metadata.jsonl`` or ``metadata.csv`` decides which
    images count and what they show; without it the first folder is the class, when there are at
    least two and no image lies beside them. ``name.txt``, ``name.cls`` and ``name.json`` beside
    ``name.png`` give its caption and class. A single folder around everything is looked through.

    Raises:
        DataError: no image, or a metadata file that cannot be read.
    """
    images = [file for file in listing.files if is_image(file.name)]
    if not images:
        raise _no_images(listing)
    shape = _shape(listing)
    roots = sorted({shape.root(file.name) for file in images} | {"", shape.top})
    facts, covered, skipped = read_metadata(listing, roots)
    listed = {file.name: file.name in facts or not _below(file.name, covered) for file in images}
    kept = [file for file in images if listed[file.name]]
    if not kept:
        raise _no_images(listing)
    skipped += [_unlisted(file) for file in images if not listed[file.name]]
    beside, more = read_sidecars(listing, kept)
    folders = _folder_classes(kept, shape, covered, beside)
    entries = [_entry(file, facts, beside, folders, shape) for file in kept]
    left = [*listing.skipped, *map(_foreign, foreign_files(listing)), *skipped, *more]
    return FileSource(spec, listing.tree, kept, entries, left, listing_stamp(listing))


def _shape(listing: Listing) -> Shape:
    names = [file.name for file in listing.files if _counts(file.name)]
    top = ""
    while (first := _only_folder(names, top)) and first.lower() not in SPLIT_FOLDERS:
        top += f"{first}/"
    inner = [name.removeprefix(top) for name in names if is_image(name)]
    firsts = {name.partition("/")[0] if "/" in name else "" for name in inner}
    splits = all(first.lower() in SPLIT_FOLDERS for first in firsts)
    return Shape(top, {first: SPLIT_FOLDERS[first.lower()] for first in firsts} if splits else {})


def _counts(name: str) -> bool:
    """Whether a file has a say in the layout."""
    return is_image(name) or name.rpartition("/")[2] in METADATA


def _only_folder(names: Sequence[str], top: str) -> str:
    """The one folder directly below ``top`` that all names lie in, or nothing."""
    inner = [name.removeprefix(top) for name in names]
    firsts = {name.partition("/")[0] if "/" in name else "" for name in inner}
    return firsts.pop() if len(firsts) == 1 else ""


def _below(name: str, roots: Sequence[str]) -> bool:
    return any(name.startswith(root) for root in roots)


def foreign_files(listing: Listing) -> list[File]:
    """Files that are images of kinds that are not read."""
    return [file for file in listing.files if suffix(file.name) in FOREIGN_SUFFIXES]


def _foreign(file: File) -> Skip:
    detail = f"{suffix(file.name)} is not read; convert it to PNG, JPEG or WebP"
    return Skip(printable(file.name), "unsupported", detail)


def _unlisted(file: File) -> Skip:
    return Skip(printable(file.name), "unlisted", "the metadata file does not list it")


def _folder_classes(
    images: Sequence[File], shape: Shape, covered: Sequence[str], beside: Mapping[str, Facts]
) -> dict[str, str]:
    """Image name -> class from its folder, empty when folders are not classes."""
    if any(facts.label is not None for facts in beside.values()):
        return {}
    free = [file.name for file in images if not _below(file.name, covered)]
    inner = {name: name.removeprefix(shape.root(name)) for name in free}
    found = {name: path.partition("/")[0] for name, path in inner.items() if "/" in path}
    classes = len(found) == len(free) and len(set(found.values())) > 1
    return found if classes else {}


def _entry(
    file: File,
    listed: Mapping[str, Facts],
    beside: Mapping[str, Facts],
    folders: Mapping[str, str],
    shape: Shape,
) -> Entry:
    facts = listed.get(file.name, Facts()).or_else(beside.get(file.name, Facts()))
    label = facts.label or folders.get(file.name)
    return Entry(
        name=printable(file.name),
        label=None if label is None else printable(label),
        caption=facts.caption,
        split=shape.side(file.name),
    )


def _no_images(listing: Listing) -> DataError:
    found = Counter(suffix(file.name) or "files without an ending" for file in listing.files)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.most_common(6))
    reasons = Counter(skip.reason for skip in listing.skipped)
    left = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return DataError(
        f"no usable image in it; found {printable(kinds) or 'nothing'}"
        + (f" (left out: {left})" if left else ""),
        where=listing.tree.where,
        fix=f"images end in {' '.join(sorted(IMAGE_SUFFIXES))}",
    )
