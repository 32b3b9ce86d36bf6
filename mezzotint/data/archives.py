"""Zip and tar files as trees of files; nothing is unpacked outside the cache."""

import bz2
import errno
import functools
import gzip
import hashlib
import lzma
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mezzotint.data.cache import cache_home, reading
from mezzotint.data.entry import Skip
from mezzotint.data.packs import check_space
from mezzotint.data.tree import File, Listing, hidden_skip, is_hidden, is_image, skip
from mezzotint.errors import DataError
from mezzotint.storage.files import make_folder, storing

MEMBER_LIMIT = 64 << 20
EXPANSION_LIMIT = 100  # times its packed size that a compressed tar may grow to
EXPANSION_FLOOR = 256 << 20
BLOCK = 1 << 20
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    OverflowError,
)
UNPACKERS: dict[str, Callable[[Path], Any]] = {
    "gz": gzip.open,
    "bz2": bz2.open,
    "xz": lzma.open,
}


@dataclass(frozen=True)
class ZipTree:
    """Reads members of the zip at ``where``; ``File.at`` is a member's place in its directory."""

    where: str
    stamp: tuple[int, int]

    def read(self, file: File) -> bytes:
        """Content of a member of at most 64 MiB.

        Raises:
            OSError: it is damaged, or larger than it says.
        """
        try:
            archive = _open_zip(self.where, self.stamp)
            with archive.open(archive.infolist()[file.at]) as stream:
                return _bounded(stream)
        except (*_BROKEN, IndexError) as error:
            raise OSError(errno.EIO, f"damaged in the archive: {error}") from error


@dataclass(frozen=True)
class TarTree:
    """Reads members of an uncompressed tar by position; ``where`` is what the user named."""

    where: str
    path: str

    def read(self, file: File) -> bytes:
        """Content of a member.

        Raises:
            OSError: the archive ends before the member does.
        """
        with Path(self.path).open("rb") as stream:
            stream.seek(file.at)
            content = stream.read(file.size)
        if len(content) != file.size:
            raise OSError(errno.EIO, "the archive ends inside this member")
        return content


@functools.lru_cache(maxsize=8)
def _open_zip(path: str, stamp: tuple[int, int]) -> zipfile.ZipFile:
    """One open archive a process; ``stamp`` gives a changed file a new one."""
    return zipfile.ZipFile(path)


def _bounded(stream: IO[bytes]) -> bytes:
    content = stream.read(MEMBER_LIMIT + 1)
    if len(content) > MEMBER_LIMIT:
        raise OSError(errno.EFBIG, f"larger than {MEMBER_LIMIT:,} bytes")
    return content


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and modification time of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def list_zip(path: Path) -> Listing:
    """All members of a zip.

    Raises:
        DataError: not a zip, or an encrypted one.
    """
    stamp = file_stamp(path)
    try:
        members = _open_zip(str(path), stamp).infolist()
    except (OSError, *_BROKEN) as error:
        raise _damaged(path, error) from error
    if any(member.flag_bits & 1 for member in members):
        raise DataError(
            "this archive is encrypted", where=str(path), fix="unpack it and name the folder"
        )
    files = [
        File(member.filename, member.file_size, member.CRC, at)
        for at, member in enumerate(members)
        if not member.is_dir()
    ]
    return _listing(ZipTree(str(path), stamp), files)


def list_tar(path: Path) -> Listing:
    """All regular files of a tar; a compressed one is expanded into the cache once.

    Raises:
        DataError: not a tar, cut short, or it grows to more than a hundred times its size.
    """
    plain = _plain_tar(path)
    files, skipped = [], []
    try:
        with tarfile.open(plain, "r:") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isreg() and not member.issparse():
                    files.append(File(name, member.size, int(member.mtime), member.offset_data))
                elif not member.isdir() and is_image(name):
                    skipped.append(skip(name, "unreadable", "not a regular file"))
    except (OSError, *_BROKEN) as error:
        raise _damaged(path, error) from error
    return _listing(TarTree(str(path), str(plain)), files, skipped)


def _listing(
    tree: ZipTree | TarTree, files: Iterable[File], skipped: Iterable[Skip] = ()
) -> Listing:
    """Keep the files that may be read; of two with one name the last counts, as in unpacking."""
    kept: dict[str, File] = {}
    left = list(skipped)
    for file in files:
        reason = _refusal(file)
        *folders, base = file.name.split("/")
        if any(map(is_hidden, folders)) or is_hidden(base):
            left += [] if any(map(is_hidden, folders)) else hidden_skip(file.name)
            continue
        if reason is not None and is_image(file.name):
            left.append(skip(file.name, *reason))
        if reason is None:
            if file.name in kept and is_image(file.name):
                left.append(skip(file.name, "duplicate-name", "a later member has the same name"))
            kept[file.name] = file
    names = sorted(kept, key=lambda name: name.encode("utf-8", "surrogateescape"))
    identity = repr((tree.where, file_stamp(Path(tree.where))))
    return Listing(tree, [kept[name] for name in names], left, identity)


def _refusal(file: File) -> tuple[str, str] | None:
    """Reason and detail to leave a member out."""
    name = file.name.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        return "outside", "its name leads out of the archive"
    if file.size > MEMBER_LIMIT:
        return "too-large", f"{file.size:,} bytes, the limit is {MEMBER_LIMIT:,}"
    return None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"this archive cannot be read: {error}", where=str(path))


COMPRESSION: dict[bytes, str] = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}


def _plain_tar(path: Path) -> Path:
    """The tar itself, or its expanded copy in the cache."""
    with reading(path), path.open("rb") as stream:
        start = stream.read(6)
    kind = next((kind for magic, kind in COMPRESSION.items() if start.startswith(magic)), None)
    if kind is None:
        return path
    identity = repr((str(path.resolve()), file_stamp(path)))
    digest = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()
    place = make_folder(cache_home() / "unpacked") / f"{digest[:32]}.tar"
    if not place.is_file():
        _expand(path, kind, place)
    return place


def _expand(path: Path, kind: str, place: Path) -> None:
    size = path.stat().st_size
    check_space(place.parent, size)
    part = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        with UNPACKERS[kind](path) as packed, storing(part), part.open("wb") as plain:
            _copy(packed, plain, max(size * EXPANSION_LIMIT, EXPANSION_FLOOR), path)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def _copy(packed: IO[bytes], plain: IO[bytes], limit: int, path: Path) -> None:
    written = 0
    for block in iter(functools.partial(_next_block, packed, path), b""):
        written += len(block)
        if written > limit:
            raise DataError(f"this archive grows beyond {limit:,} bytes", where=str(path))
        if shutil.disk_usage(Path(plain.name).parent).free < 2 * BLOCK:
            check_space(Path(plain.name).parent, len(block))
        plain.write(block)


def _next_block(packed: IO[bytes], path: Path) -> bytes:
    try:
        return packed.read(BLOCK)
    except (OSError, *_BROKEN) as error:
        raise _damaged(path, error) from error
