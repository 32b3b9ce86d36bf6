"""The runs and models of a folder, read from their files each time: nothing is kept as truth."""

import functools
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint.config import from_dict
from mezzotint.errors import MezzotintError
from mezzotint.families import FAMILIES, family_class
from mezzotint.families.base import read_model_config
from mezzotint.runs.folder import RunFolder
from mezzotint.serving import processes
from mezzotint.serving.refusing import Refusal
from mezzotint.storage.readers import load_file

DEPTH, MOST = 2, 500
START = "start.json"
FRESH_SECONDS = 0.5


@dataclass(frozen=True)
class Entry:
    """A run or model on the shelf.

    Attributes:
        id: opaque; names it in addresses.
        name: its folder below the root.
        path: of its folder.
        run: whether it is a run.
    """

    id: str
    name: str
    path: Path
    run: bool

    @property
    def folder(self) -> RunFolder:
        """The run's files."""
        return RunFolder(self.path)

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``interrupted``, or ``model`` for one that is no run.

        A run that the page began is ``starting`` until it trains, or ``failed``.
        """
        if self.run:
            found = self.folder.status()
            return "starting" if found == "interrupted" and processes.alive(self.path) else found
        if (self.path / START).is_file():
            return "starting" if processes.alive(self.path) else "failed"
        return "model"

    @property
    def stamp(self) -> str:
        """Changes when the model does; empty while there is none."""
        for folder in (self.path, self.folder.model):
            if (folder / "config.json").is_file():
                return f"{folder.name}-{(folder / 'config.json').stat().st_mtime_ns}"
        marks = [mark.parent.name for mark in self.folder.checkpoints.glob("*/COMPLETE")]
        return max((mark for mark in marks if mark.strip("0")), default="")  # 0: it has seen none

    @property
    def pending(self) -> bool:
        """Whether the page has begun it and it has not come as far as a run."""
        return not self.run and not (self.path / "config.json").is_file()

    @property
    def asked_family(self) -> str:
        """The family that a pending run was begun with; empty where it does not say."""
        try:
            found = str(load_file(self.path / START).get("family", ""))
        except (MezzotintError, OSError):
            return ""
        return found if found in FAMILIES else ""

    @property
    def changed(self) -> int:
        """When the file that says what it is was written last, in nanoseconds; 0 without one."""
        for name in ("run.json", "config.json"):
            try:
                return (self.path / name).stat().st_mtime_ns
            except OSError:
                continue
        return 0

    def about(self) -> tuple[str, dict[str, Any]]:
        """The family and the options of its model that differ from the family's own.

        Raises:
            MezzotintError: the files say something else.
        """
        if not self.run:
            config = read_model_config(self.path)
            return config.pop("kind"), config
        header = self.folder.header()
        return header["family"], header.get("model") or {}

    def config(self) -> Any:
        """The configuration of its model; errors as :meth:`about`."""
        return self.settled()[1]

    def settled(self) -> tuple[str, Any]:
        """Family and configuration, read anew when their file changes; errors as :meth:`about`."""
        return _settled(self, self.changed)


@functools.lru_cache(1024)
def _settled(entry: Entry, changed: int) -> tuple[str, Any]:
    kind, options = entry.about()
    family: Any = family_class(kind)
    return kind, from_dict(family.config_class, options, where=entry.name)


class Shelf:
    """What can be served.

    Args:
        root: a run or model folder, or a folder of them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._found: dict[str, Entry] = {}
        self._looked = 0.0

    @property
    def single(self) -> bool:
        """Whether the root is itself a run or model."""
        return _is_entry(self.root)

    def entries(self) -> list[Entry]:
        """Everything there is, by name."""
        if time.monotonic() - self._looked > FRESH_SECONDS:
            self._found = {entry.id: entry for entry in self._look()}
            self._looked = time.monotonic()
        return sorted(self._found.values(), key=lambda entry: entry.name)

    def refresh(self) -> None:
        """Look anew at the next question."""
        self._looked = 0.0

    def by_id(self, name: str) -> Entry:
        """An entry by its opaque id.

        Raises:
            Refusal: there is none.
        """
        self.entries()
        if name not in self._found:
            raise Refusal(404, "there is no such run", "run", "not_found")
        return self._found[name]

    def by_name(self, name: str | None) -> Entry:
        """An entry by its name; None takes the only one, or the newest that has a model.

        Raises:
            Refusal: there is none.
        """
        named = [entry for entry in self.entries() if name is None or entry.name == name]
        able = [entry for entry in named if entry.stamp]
        if able:
            return max(able, key=lambda entry: entry.path.stat().st_mtime)
        raise Refusal(404, "there is no such model", "model", "model_not_found")

    def _look(self) -> Iterator[Entry]:
        if self.single:
            yield self._entry(self.root, self.root.name)
            return
        for count, path in enumerate(_folders(self.root, DEPTH)):
            if count >= MOST:
                return
            yield self._entry(path, path.relative_to(self.root).as_posix())

    def _entry(self, path: Path, name: str) -> Entry:
        printable = name.encode("utf-8", "replace").decode()
        digest = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
        return Entry(digest, printable, path, (path / "run.json").is_file())


def _is_entry(path: Path) -> bool:
    return any((path / name).is_file() for name in ("run.json", "config.json", START))


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """Run and model folders below one, none of them through a link."""
    try:
        inner = sorted(one for one in folder.iterdir() if one.is_dir() and not one.is_symlink())
    except OSError:
        return
    for path in inner:
        if path.name.startswith("."):
            continue
        if _is_entry(path):
            yield path
        elif depth > 1:
            yield from _folders(path, depth - 1)


def readable(entry: Entry) -> bool:
    """Whether an entry's files say what it is."""
    try:
        entry.config()
    except (MezzotintError, OSError):
        return False
    return True
