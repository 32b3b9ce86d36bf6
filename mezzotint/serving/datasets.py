"""Sets of images that training may be started on: built in, under ``--data``, and dropped."""

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mezzotint.data.sources import list_sets
from mezzotint.serving.refusing import Refusal
from mezzotint.storage.files import make_folder, storing

DROPPED = ".data"
BUILT_IN = ("digits", "shapes")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".npy", ".npz")
MOST = 500
SPARE = 256 << 20  # bytes of the disk that an upload leaves free


@dataclass(frozen=True)
class Dataset:
    """A set of images.

    Attributes:
        id: opaque; names it in addresses.
        name: for people.
        spec: what ``mezzotint train`` is given.
        path: where it lies; None for one that is built in.
        note: what it is, in words.
    """

    id: str
    name: str
    spec: str
    path: Path | None
    note: str

    @property
    def stamp(self) -> str:
        """Changes when the set does, as far as can be told at a glance."""
        if self.path is None:
            return "built in"
        try:
            found = self.path.stat()
        except OSError:
            return ""
        return f"{found.st_mtime_ns}-{found.st_size}"


class Datasets:
    """What may be trained on.

    Args:
        runs: the folder of runs; dropped sets lie in a hidden folder of it.
        roots: folders and files that the server may read besides.
    """

    def __init__(self, runs: Path, roots: tuple[Path, ...]) -> None:
        self.dropped = runs / DROPPED
        self._roots = tuple(root.resolve() for root in roots)

    def all(self) -> list[Dataset]:
        """Every set, dropped ones first, built-in ones last."""
        known = list_sets()
        built = [Dataset(name, name, name, None, known[name]) for name in BUILT_IN]
        return [*self._in_dropped(), *self._in_roots(), *built]

    def by_id(self, name: str) -> Dataset:
        """A set by its id.

        Raises:
            Refusal: there is none.
        """
        for one in self.all():
            if one.id == name:
                return one
        raise Refusal(404, "there is no such set of images", "data", "not_found")

    def require_allowed(self, spec: str) -> None:
        """Check that a run's data may be read by this server.

        Raises:
            Refusal: it lies elsewhere, or comes over the network.
        """
        if spec in list_sets():
            return
        allowed = (*self._roots, self.dropped.resolve())
        if spec.startswith("hf:") or not any(_inside(Path(spec), root) for root in allowed):
            told = "this server may not read the images of this run: start it with --data FOLDER"
            raise Refusal(409, told, "data", "not_allowed")

    def place(self, name: str, expected: int) -> Path:
        """Where a dropped set is written before it is whole.

        Raises:
            Refusal: the disk is too full for it.
            CannotCreateError: the folder cannot be made.
        """
        make_folder(self.dropped)
        if shutil.disk_usage(self.dropped).free < expected + SPARE:
            raise Refusal(507, "the disk is too full for this", "body", "disk_full")
        return self.dropped / f".{plain(name)}.{os.urandom(6).hex()}.part"

    def keep(self, part: Path, name: str) -> Dataset:
        """Take a written archive in under a name that is free.

        Raises:
            Refusal: it is no zip file.
        """
        if not zipfile.is_zipfile(part):
            raise Refusal(400, "this is not a zip file", "body", "not_a_zip")
        stem, number = plain(name), 1
        path = self.dropped / f"{stem}.zip"
        while path.exists():
            number += 1
            path = self.dropped / f"{stem}-{number}.zip"
        with storing(path):
            part.rename(path)
        return _dataset(path, path.stem, "dropped into this page")

    def _in_dropped(self) -> Iterator[Dataset]:
        for path in _inner(self.dropped):
            if path.suffix == ".zip":
                yield _dataset(path, path.stem, "dropped into this page")

    def _in_roots(self) -> Iterator[Dataset]:
        for root in self._roots:
            yield _dataset(root, root.name, "folder" if root.is_dir() else "file")
            for path in _inner(root):
                if path.is_dir() or path.name.casefold().endswith(ARCHIVES):
                    yield _dataset(path, f"{root.name}/{path.name}", "folder" if path.is_dir() else
                                   "archive")  # fmt: skip


def plain(name: str) -> str:
    """A name as a file may have it: letters, digits, dots, dashes; never empty, never hidden."""
    stem = re.sub(r"\.zip$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-_")[:60] or "pictures"


def _dataset(path: Path, name: str, note: str) -> Dataset:
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
    shown = name.encode("utf-8", "replace").decode()
    return Dataset(digest, shown, str(path), path, note)


def _inner(folder: Path) -> list[Path]:
    """What lies in a folder, no hidden file, nothing through a link."""
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if not one.is_symlink() and one.name[0] != "."]
    except OSError:
        return []
    return [folder / name for name in sorted(names)[:MOST]]


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.expanduser().resolve().is_relative_to(root)
    except (OSError, RuntimeError, ValueError):
        return False
