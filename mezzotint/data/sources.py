"""From what the user typed to a source of images, by one table of recognisers."""

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mezzotint.data import archives, array_files, arrays, idx
from mezzotint.data.builtin import open_digits
from mezzotint.data.cache import reading
from mezzotint.data.entry import Source
from mezzotint.data.fashion import open_fashion
from mezzotint.data.folder import list_folder
from mezzotint.data.hub import open_hub
from mezzotint.data.layout import arrange
from mezzotint.data.opening import open_pack
from mezzotint.data.packs import is_pack
from mezzotint.data.shapes import open_shapes
from mezzotint.data.tree import is_image
from mezzotint.errors import DataError, MissingInputError, UsageError, nearest

NAMED: dict[str, tuple[Callable[[str], Source], str]] = {
    "digits": (open_digits, "1,797 handwritten digits, 8x8 grey"),
    "shapes": (open_shapes, "8,000 captioned pictures of coloured shapes, 64x64 RGB"),
    "fashion-mnist": (open_fashion, "70,000 pieces of clothing, 28x28 grey"),
}
ACCEPTED = (
    "a named set, a folder, a zip or tar of images, a folder of IDX files, a .npy or .npz file,"
    " a pack, or hf:OWNER/NAME"
)
MOST_NEIGHBOURS = 10_000


class Kind(NamedTuple):
    """A kind of data on disk: how it is recognised and how it is opened."""

    name: str
    fits: Callable[[Path], bool]
    open: Callable[[Path, str], Source]


def list_sets() -> dict[str, str]:
    """Names that need no path, with one line on each."""
    return {name: words for name, (_, words) in NAMED.items()}


def open_source(spec: str | Path) -> Source:
    """Open whatever holds images.

    Args:
        spec: a named set (``digits``, ``shapes``, ``fashion-mnist``), ``hf:OWNER/NAME[:split]``,
            or a path: folder, zip, tar, folder of IDX files, ``.npy``, ``.npz`` or pack.

    Raises:
        MissingInputError: nothing is there under that name.
        DataError: what is there holds no images that can be used.
        MissingExtraError: the hub needs a package that is not installed.
    """
    name = str(spec)
    if path_of(spec) is None:
        return NAMED[name][0](name) if name in NAMED else open_hub(name)
    path = _existing(name)
    with reading(path):
        kind = next((kind for kind in KINDS if kind.fits(path)), None)
        if kind is None:
            raise _unknown(path)
        return kind.open(path, name)


def path_of(spec: str | Path) -> Path | None:
    """The path that the user means, or None for a named set or one of the hub."""
    named = isinstance(spec, str) and (spec in NAMED or spec.startswith("hf:"))
    return None if named else Path(spec).expanduser()


def _existing(name: str) -> Path:
    if not name or "\0" in name:
        raise UsageError("the data needs a name or a path", fix=f"give {ACCEPTED}")
    path = Path(name).expanduser()
    try:
        found = path.exists()
    except OSError:
        found = False
    if not found:
        raise _missing(name, path)
    return path


def _missing(name: str, path: Path) -> MissingInputError:
    siblings = []
    if path.parent.is_dir():
        with os.scandir(path.parent) as items:
            near = [str(path.parent / item.name) for _, item in zip(range(MOST_NEIGHBOURS), items)]
        siblings = [sibling for sibling in near if not Path(sibling).name.startswith(".")]
    hint = nearest(name, [*NAMED, *siblings])
    known = f"{', '.join(NAMED)}, or a path that exists"
    fix = hint if hint.startswith("did you") else f"give one of: {known}"
    return MissingInputError(
        f"there is no data named '{name}'", where=str(path.absolute()), fix=fix
    )


def _unknown(path: Path) -> DataError:
    what = "one image" if is_image(path.name) else f"a file of an unknown kind ('{path.suffix}')"
    fix = f"name the folder it is in: {path.parent}" if is_image(path.name) else f"give {ACCEPTED}"
    return DataError(f"this is {what}, not a set of images", where=str(path), fix=fix)


def _open_run(path: Path, spec: str) -> Source:
    raise DataError(
        "this is a run folder: it holds a model, not images to learn from",
        where=spec,
        fix="name the folder with the images; 'mezzotint info' shows what a run was trained on",
    )


def _open_folder(path: Path, spec: str) -> Source:
    return arrange(spec, list_folder(path))


def _open_pack(path: Path, spec: str) -> Source:
    return arrays.images_source(open_pack(path))


def _file_stamp(path: Path) -> str:
    identity = repr((str(path.resolve()), archives.file_stamp(path)))
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()


def _ends(path: Path, *endings: str) -> bool:
    return path.is_file() and path.name.lower().endswith(endings)


def _is_tar(path: Path) -> bool:
    if _ends(path, ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"):
        return True
    return path.is_file() and tarfile.is_tarfile(path)


KINDS = (
    Kind("run", lambda path: (path / "run.json").is_file(), _open_run),
    Kind("pack", is_pack, _open_pack),
    Kind("idx", idx.is_idx_folder, idx.open_idx),
    Kind("folder", Path.is_dir, _open_folder),
    Kind(
        "npy",
        lambda path: _ends(path, ".npy"),
        lambda path, spec: array_files.open_npy(path, spec, _file_stamp(path)),
    ),
    Kind(
        "npz",
        lambda path: _ends(path, ".npz"),
        lambda path, spec: array_files.open_npz(path, spec, _file_stamp(path)),
    ),
    Kind(
        "zip",
        lambda path: _ends(path, ".zip") or (path.is_file() and zipfile.is_zipfile(path)),
        lambda path, spec: arrange(spec, archives.list_zip(path)),
    ),
    Kind("tar", _is_tar, lambda path, spec: arrange(spec, archives.list_tar(path))),
)
