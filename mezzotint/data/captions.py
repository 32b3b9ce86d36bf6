"""Captions and classes from files: ``metadata.jsonl``, ``metadata.csv``, and ``name.txt``."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint.data.cache import printable
from mezzotint.data.entry import Skip
from mezzotint.data.tree import File, Listing, Tree, skip, suffix
from mezzotint.errors import DataError, MezzotintError
from mezzotint.storage.readers import parse_json

LINE_LIMIT = 64 << 10
CAPTION_LIMIT = 4000
SIDECAR_LIMIT = 1 << 20
METADATA = ("metadata.jsonl", "metadata.csv")
CAPTION_KEYS = ("text", "caption")
LABEL_KEYS = ("label", "class", "cls")


@dataclass(frozen=True)
class Facts:
    """What a file says of an image."""

    label: str | None = None
    caption: str | None = None

    def or_else(self, other: "Facts") -> "Facts":
        """These facts, completed by others."""
        return Facts(self.label or other.label, self.caption or other.caption)


def read_metadata(
    listing: Listing, roots: Sequence[str]
) -> tuple[dict[str, Facts], list[str], list[Skip]]:
    """Read the metadata files that stand in the given folders.

    Args:
        listing: the tree.
        roots: folders with a closing slash, or the empty string for the top.

    Returns:
        Facts by image name, the folders that a metadata file speaks for, and the lines left out.

    Raises:
        DataError: a line is too long, not valid, or without ``file_name``.
    """
    files = {file.name: file for file in listing.files}
    facts: dict[str, Facts] = {}
    covered, skipped = [], []
    for root in roots:
        name = next((root + name for name in METADATA if root + name in files), None)
        if name is not None:
            covered.append(root)
            skipped += _collect(listing.tree, files, name, root, facts)
    return facts, covered, skipped


def _collect(
    tree: Tree, files: Mapping[str, File], name: str, root: str, facts: dict[str, Facts]
) -> list[Skip]:
    """Add the rows of one metadata file to ``facts``; returns the rows left out."""
    skipped = []
    for place, row in _rows(tree, files[name]):
        image = _file_name(row, place)
        target = _resolve(image, root)
        if target is None:
            skipped.append(skip(image, "outside", f"{place} leads out of the data"))
        elif target not in files:
            skipped.append(skip(target, "missing", f"{place} lists it, and it is not there"))
        elif target in facts:
            skipped.append(skip(target, "duplicate-name", f"{place} lists it again"))
        else:
            facts[target] = _facts(row, place)
    return skipped


def _rows(tree: Tree, file: File) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row with its place, such as ``metadata.jsonl line 3``."""
    name = printable(file.name)
    try:
        text = tree.read(file).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {name}: {error}", where=tree.where) from error
    lines = text.splitlines() if name.endswith(".csv") else text.split("\n")
    for at, line in enumerate(lines, 1):
        if len(line.encode("utf-8", "surrogatepass")) > LINE_LIMIT:
            raise _bad(f"{name} line {at}", f"longer than {LINE_LIMIT:,} bytes")
    yield from (_csv_rows(name, text) if name.endswith(".csv") else _jsonl_rows(name, lines))


def _jsonl_rows(name: str, lines: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _bad(f"{name} line {at}", f"not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise _bad(f"{name} line {at}", "not a JSON object")
        yield f"{name} line {at}", row


def _csv_rows(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield f"{name} line {reader.line_num}", {str(key): row[key] for key in row}
    except csv.Error as error:
        raise _bad(f"{name} line {reader.line_num}", f"not valid CSV: {error}") from error


def _bad(place: str, what: str) -> DataError:
    return DataError(
        what,
        where=place,
        fix='each line names an image: {"file_name": "a.png", "text": "...", "label": "..."}',
    )


def _file_name(row: Mapping[str, Any], place: str) -> str:
    name = row.get("file_name")
    if not isinstance(name, str) or not name:
        raise _bad(place, "no 'file_name'")
    return name


def _resolve(name: str, root: str) -> str | None:
    """The name below the top of the tree, or None when it leads out of its folder."""
    parts = [part for part in name.replace("\\", "/").split("/") if part != "."]
    if any(part in ("..", "") or ":" in part or "\0" in part for part in parts):
        return None
    return root + "/".join(parts)


def _facts(row: Mapping[str, Any], place: str) -> Facts:
    try:
        return facts_of(row)
    except ValueError as error:
        raise _bad(place, str(error)) from error


def facts_of(row: Mapping[str, Any]) -> Facts:
    """Class and caption from a mapping with ``label`` and ``text`` or ``caption``.

    Raises:
        ValueError: a value of another type than text (or, for a label, whole number).
    """
    label = next((row[key] for key in LABEL_KEYS if row.get(key) not in (None, "")), None)
    caption = next((row[key] for key in CAPTION_KEYS if row.get(key) not in (None, "")), None)
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        raise ValueError("the label is neither a text nor a whole number")
    if not isinstance(caption, str | None):
        raise ValueError("the caption is not a text")
    return Facts(None if label is None else str(label), clean_caption(caption))


def clean_caption(text: str | None) -> str | None:
    """A caption without surrounding space, of at most 4,000 characters that UTF-8 can hold."""
    if text is None:
        return None
    valid = text.encode("utf-8", "replace").decode("utf-8")
    return valid.strip()[:CAPTION_LIMIT] or None


def read_sidecars(listing: Listing, images: Sequence[File]) -> tuple[dict[str, Facts], list[Skip]]:
    """Facts from ``name.txt`` (caption), ``name.cls`` (class) and ``name.json`` beside an image.

    Returns:
        Facts by image name, and the files that could not be read.
    """
    by_stem: dict[str, list[str]] = {}
    for image in images:
        by_stem.setdefault(_stem(image.name), []).append(image.name)
    facts: dict[str, Facts] = {}
    skipped = []
    for file in listing.files:
        reader = SIDECARS.get(suffix(file.name))
        if reader is not None and (names := by_stem.get(_stem(file.name))):
            try:
                found = reader(_sidecar_text(listing.tree, file), file)
            except (OSError, ValueError, MezzotintError) as error:
                what = error.what if isinstance(error, MezzotintError) else str(error)
                skipped.append(skip(file.name, "unreadable", what))
                continue
            facts |= {name: found.or_else(facts.get(name, Facts())) for name in names}
    return facts, skipped


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _sidecar_text(tree: Tree, file: File) -> str:
    if file.size > SIDECAR_LIMIT:
        raise ValueError(f"larger than {SIDECAR_LIMIT:,} bytes")
    return tree.read(file).decode("utf-8-sig", "replace")


def _from_json(text: str, file: File) -> Facts:
    row = parse_json(text, Path(printable(file.name)))
    return facts_of(row) if isinstance(row, dict) else Facts()


SIDECARS = {
    ".txt": lambda text, file: Facts(caption=clean_caption(text)),
    ".cls": lambda text, file: Facts(label=text.strip()[:200] or None),
    ".json": _from_json,
}
