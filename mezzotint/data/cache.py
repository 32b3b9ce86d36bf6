"""Where data is kept between runs, and whether the network may be used."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from mezzotint.errors import StorageError


def cache_home() -> Path:
    """The cache folder: ``MEZZOTINT_HOME`` when set, otherwise the user's cache folder."""
    override = os.environ.get("MEZZOTINT_HOME")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("mezzotint", appauthor=False)


def offline() -> bool:
    """Whether ``MEZZOTINT_OFFLINE`` forbids every download."""
    return os.environ.get("MEZZOTINT_OFFLINE", "").lower() not in ("", "0", "false", "no")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into the user's error about reading ``path``."""
    try:
        yield
    except OSError as error:
        what = f"cannot read: {error.strerror or error}"
        raise StorageError(what, where=str(path), fix="check its permissions") from error


def printable(name: str) -> str:
    """A file name that can be printed and stored as UTF-8, whatever bytes it holds."""
    if name.isascii() and name.isprintable():
        return name
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogatepass")
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
