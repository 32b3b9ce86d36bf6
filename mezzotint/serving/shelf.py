"""The runs and models of a folder, read from their files each time: nothing is kept as truth."""

import functools
import hashlib
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mezzotint.errors import MezzotintError
from mezzotint.families import FAMILIES
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.forms import Form, model_form
from mezzotint.serving import processes
from mezzotint.serving.refusing import Refusal
from mezzotint.storage.readers import load_file

DEPTH, MOST = 2, 500
MODEL_FILES = ("config.json", "model_index.json")
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
        for folder, name in itertools.product((self.path, self.folder.model), MODEL_FILES):
            if (folder / name).is_file():
                return f"{folder.name}-{(folder / name).stat().st_mtime_ns}"
        marks = [mark.parent.name for mark in self.folder.checkpoints.glob("*/COMPLETE")]
        return max((mark for mark in marks if mark.strip("0")), default="")  # 0: it has seen none

    @property
    def pending(self) -> bool:
        """Whether the page has begun it and it has not come as far as a run."""
        return not self.run and not any((self.path / name).is_file() for name in MODEL_FILES)

    @property
    def asked_family(self) -> str:
        """The family that a pending run was begun with; empty where it does not say."""
        try:
            found = str(load_file(self.path / START).get("family", ""))
        except (MezzotintError, OSError):
            return ""
        return found if found in FAMILIES else ""

    @property
    def changed(self) -> str:
        """Changes with the files that say what it is."""
        try:
            return f"{(self.path / 'run.json').stat().st_mtime_ns} {self.stamp}"
        except OSError:
            return self.stamp

    def form(self) -> Form:
        """The class and the configuration of its model, read anew when their file changes.

        Raises:
            MezzotintError: the files say something else.
        """
        return _form(self, self.changed)


@functools.lru_cache(1024)
def _form(entry: Entry, changed: str) -> Form:
    return model_form(entry.path)


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
    return any((path / name).is_file() for name in ("run.json", *MODEL_FILES, START))


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
        entry.form()
    except (MezzotintError, OSError):
        return False
    return True
