"""Data sets of the Hugging Face hub, ``hf:OWNER/NAME[:split]``, through ``datasets``."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint.data.cache import offline
from mezzotint.data.captions import clean_caption
from mezzotint.data.entry import Entry, Skip, Split
from mezzotint.errors import DataError, MissingExtraError, MissingInputError

CAPTION_COLUMNS = ("text", "caption", "captions", "prompt")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class")
SIDES: Mapping[str, Split] = {"train": "train", "validation": "held_out", "test": "held_out"}


@dataclass(eq=False)
class HubSource:
    """A source over one or more tables with an image column left encoded."""

    spec: str
    tables: Sequence[Any]
    column: str
    entries: Sequence[Entry]
    places: Sequence[tuple[int, int]]
    stamp: str
    classes: tuple[str, ...] = ()
    skipped: Sequence[Skip] = ()
    parallel: bool = False

    def read(self, index: int) -> bytes:
        """Encoded bytes of one image.

        Raises:
            OSError: the row holds no image, or its file cannot be read.
        """
        table, row = self.places[index]
        value = self.tables[table][row][self.column]
        if not isinstance(value, dict) or not (value.get("bytes") or value.get("path")):
            raise OSError("the row holds no image")
        content = value.get("bytes")
        return bytes(content) if content else Path(value["path"]).read_bytes()


def open_hub(spec: str) -> HubSource:
    """A source over a data set of the hub, or of its cache on this machine.

    Without a split, ``train`` is trained on and ``validation`` and ``test`` are held out.

    Raises:
        MissingExtraError: ``datasets`` is not installed.
        MissingInputError: there is no such set, or it cannot be reached.
        DataError: it has no image column.
    """
    name, _, split = spec.removeprefix("hf:").partition(":")
    sides = _tables(_load(name, split), split)
    first = sides[0][1]
    column = _image_column(first, spec)
    label, caption = _column(first, LABEL_COLUMNS), _column(first, CAPTION_COLUMNS)
    names = tuple(getattr(first.features.get(label), "names", None) or ())
    entries = [
        entry for side, table in sides for entry in _entries(side, table, label, caption, names)
    ]
    places = [(at, row) for at, (_, table) in enumerate(sides) for row in range(len(table))]
    if not places:
        raise DataError("the data set has no rows", where=spec)
    tables = [_encoded(table, column) for _, table in sides]
    return HubSource(spec, tables, column, entries, places, _stamp(spec, tables), names)


def _load(name: str, split: str) -> Any:
    if offline():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "hf") from error
    try:
        return datasets.load_dataset(name, split=split or None)
    except Exception as error:
        # The package raises errors of many libraries; all mean that the set is out of reach.
        raise MissingInputError(
            f"the data set '{name}' cannot be opened: {str(error).splitlines()[0][:300]}",
            where=f"hf:{name}",
            fix="check its name, its split and the network, or download it beforehand",
        ) from error


def _tables(loaded: Any, split: str) -> list[tuple[Split | None, Any]]:
    """Tables with the side each belongs to; a named split stands alone and has none."""
    if split or not isinstance(loaded, Mapping):
        return [(None, loaded)]
    sides = [(SIDES.get(name), table) for name, table in loaded.items()]
    return [pair for pair in sides if pair[0]] or sides


def _image_column(table: Any, spec: str) -> str:
    found = [name for name, kind in table.features.items() if type(kind).__name__ == "Image"]
    if not found:
        columns = ", ".join(map(str, table.features))
        raise DataError(f"no image column among: {columns}", where=spec)
    return "image" if "image" in found else str(found[0])


def _column(table: Any, names: Sequence[str]) -> str:
    return next((name for name in names if name in table.features), "")


def _entries(
    side: Split | None, table: Any, label: str, caption: str, names: Sequence[str]
) -> list[Entry]:
    labels = list(table[label]) if label else [None] * len(table)
    captions = list(table[caption]) if caption else [None] * len(table)
    pairs = zip(labels, captions, strict=True)
    return [
        Entry(f"{side or 'row'}-{at:06d}", _label(value, names), _text(words), side)
        for at, (value, words) in enumerate(pairs)
    ]


def _label(value: Any, names: Sequence[str]) -> str | None:
    if isinstance(value, int) and names:
        return names[value] if 0 <= value < len(names) else None
    return str(value) if isinstance(value, int | str) and value not in (-1, "") else None


def _text(value: Any) -> str | None:
    """A caption; of several for one image, the first."""
    if isinstance(value, list):
        value = value[0] if value else None
    return clean_caption(value) if isinstance(value, str) else None


def _encoded(table: Any, column: str) -> Any:
    import datasets

    return table.cast_column(column, datasets.Image(decode=False)).select_columns([column])


def _stamp(spec: str, tables: Sequence[Any]) -> str:
    """Digest of the tables' own fingerprints; empty when one has none."""
    marks = [getattr(table, "_fingerprint", "") for table in tables]
    whole = f"{spec} {[(mark, len(table)) for mark, table in zip(marks, tables, strict=True)]}"
    return hashlib.sha256(whole.encode()).hexdigest() if all(marks) else ""
