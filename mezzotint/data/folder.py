"""Folders of images as a tree of files; links never lead out of the root."""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mezzotint.data.entry import Skip
from mezzotint.data.tree import File, Listing, hidden_skip, is_hidden, is_image, skip, suffix
from mezzotint.errors import StorageError

FILE_LIMIT = 256 << 20


@dataclass(frozen=True)
class FolderTree:
    """Reads files below ``where``."""

    where: str

    def read(self, file: File) -> bytes:
        """Content of a file of at most 256 MiB.

        Raises:
            OSError: it cannot be read or has grown too large.
        """
        with open(os.path.join(self.where, file.name), "rb") as stream:  # noqa: PTH118, PTH123
            content = stream.read(FILE_LIMIT + 1)
        if len(content) > FILE_LIMIT:
            raise OSError(errno.EFBIG, "larger than 256 MiB")
        return content


def list_folder(root: Path) -> Listing:
    """All files below ``root``, without hidden ones.

    Raises:
        StorageError: the folder itself cannot be listed.
    """
    top = os.path.realpath(root)
    walk = _Walk(top, [], [])
    try:
        walk.enter("")
    except OSError as error:
        raise StorageError(f"cannot list the folder: {error.strerror}", where=str(root)) from error
    files = sorted(walk.files, key=lambda file: os.fsencode(file.name))
    return Listing(FolderTree(top), files, walk.skipped, top)


@dataclass(frozen=True)
class _Walk:
    """Collects the files below ``top``, folder by folder, without recursion."""

    top: str
    files: list[File]
    skipped: list[Skip]

    def enter(self, first: str) -> None:
        pending = [first]
        while pending:
            below = pending.pop()
            for item in self._items(below):
                name = f"{below}/{item.name}" if below else item.name
                if is_hidden(item.name):
                    self.skipped.extend(hidden_skip(name))
                elif self._accept(item, name):
                    pending.append(name)

    def _items(self, below: str) -> list["os.DirEntry[str]"]:
        try:
            with os.scandir(os.path.join(self.top, below)) as items:  # noqa: PTH118
                return list(items)
        except OSError as error:
            if not below:
                raise
            self.skipped.append(skip(below, "unreadable", f"folder: {error.strerror}"))
            return []

    def _accept(self, item: "os.DirEntry[str]", name: str) -> bool:
        """Record a file; True when the item is a folder to enter."""
        try:
            if item.is_symlink() and not self._inside(item, name):
                return False
            if item.is_dir():
                if is_image(name):
                    self._leave(name, "not-image", "a folder; what is in it is read")
                return True
            self._record(item.stat(), name)
        except OSError as error:
            self._leave(name, "unreadable", error.strerror or str(error))
        return False

    def _inside(self, item: "os.DirEntry[str]", name: str) -> bool:
        """Whether a link leads to a file inside the root; folders are read where they stand."""
        target = os.path.realpath(item.path)
        if os.path.commonpath([target, self.top]) != self.top:
            return self._leave(name, "outside", "a link that leads out of the folder")
        if item.is_dir():
            return self._leave(name, "outside", "a link to a folder that is read already")
        return True

    def _record(self, status: os.stat_result, name: str) -> None:
        if not stat.S_ISREG(status.st_mode):
            self._leave(name, "unreadable", "not a regular file")
        elif status.st_size > FILE_LIMIT:
            self._leave(name, "too-large", f"{status.st_size:,} bytes, the limit is {FILE_LIMIT:,}")
        else:
            self.files.append(File(name, status.st_size, status.st_mtime_ns))

    def _leave(self, name: str, reason: str, detail: str) -> bool:
        """Report what could have been an image or a folder of them; always False."""
        if is_image(name) or not suffix(name):
            self.skipped.append(skip(name, reason, detail))
        return False
