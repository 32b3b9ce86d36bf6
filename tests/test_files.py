"""Files are replaced as one step: after any failure the old content stands and nothing else."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.errors import CannotCreateError, StorageError
from mezzotint.storage import files
from mezzotint.storage.files import (
    file_digest,
    json_bytes,
    make_folder,
    replace_bytes,
    replace_json,
    storage_error,
)

OLD, NEW = b"the old content", b"the new content, which is longer"


@given(st.binary(max_size=5000))
def test_content_comes_back(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "x"
    replace_bytes(path, OLD)
    replace_bytes(path, content)
    assert path.read_bytes() == content
    assert file_digest(path) == hashlib.sha256(content).hexdigest()
    assert os.listdir(path.parent) == ["x"]  # noqa: PTH208


@pytest.mark.parametrize("step", ["write_bytes", "sync_folder"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_failed_write_leaves_the_old_or_the_new_and_no_litter(
    step: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(OLD)

    def failing(place: Path, content: bytes = b"") -> None:
        if content:
            place.write_bytes(content[:5])
        raise OSError(code, os.strerror(code), str(place))

    monkeypatch.setattr(files, step, failing)
    expected = CannotCreateError if code == errno.EROFS else StorageError
    with pytest.raises(expected) as caught:
        replace_bytes(path, NEW)
    assert path.read_bytes() == (OLD if step == "write_bytes" else NEW)
    assert [found.name for found in tmp_path.iterdir()] == ["x"]
    assert caught.value.where == str(path)
    assert caught.value.fix


def test_a_failed_rename_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(OLD)

    def failing(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(StorageError):
        replace_bytes(path, NEW)
    assert path.read_bytes() == OLD
    assert [found.name for found in tmp_path.iterdir()] == ["x"]


def test_an_interrupt_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(OLD)

    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.faults, "point", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_bytes(path, NEW)
    assert path.read_bytes() == OLD
    assert [found.name for found in tmp_path.iterdir()] == ["x"]


def test_the_folder_is_made_durable_after_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsync of the content, then rename, then fsync of the folder: the order that survives."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(handle: int) -> None:
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")  # noqa: PTH112
        fsync(handle)

    def noting_replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    replace_bytes(tmp_path / "x", NEW)
    assert events == ["file", "rename", "folder"]


def test_json_is_readable_and_holds_no_numbers_that_json_lacks(tmp_path: Path) -> None:
    replace_json(tmp_path / "x.json", {"name": "Grün", "n": [1, 2.5, None]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert "Grün" in text
    assert json.loads(text) == {"name": "Grün", "n": [1, 2.5, None]}
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            json_bytes([bad])


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (errno.ENOSPC, 74),
        (errno.EDQUOT, 74),
        (errno.EFBIG, 74),
        (errno.EIO, 74),
        (errno.EACCES, 73),
        (errno.EPERM, 73),
        (errno.EROFS, 73),
        (errno.ENOTDIR, 73),
        (errno.EISDIR, 73),
        (errno.ENOENT, 73),
        (errno.ENAMETOOLONG, 73),
    ],
)
def test_errors_of_the_system_become_ours(code: int, exit_code: int, tmp_path: Path) -> None:
    error = storage_error(OSError(code, os.strerror(code)), tmp_path / "x")
    assert error.exit_code == exit_code
    assert error.where == str(tmp_path / "x")
    assert error.fix


def test_a_full_disk_says_how_much_is_free(tmp_path: Path) -> None:
    error = storage_error(OSError(errno.ENOSPC, "full"), tmp_path / "not" / "yet" / "there")
    assert "bytes free" in error.what
    assert any(letter.isdigit() for letter in error.what)


@pytest.mark.parametrize("name", ["file/inside", "x" * 300])
def test_a_folder_that_cannot_be_made(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreateError):
        make_folder(tmp_path / name)


def test_making_a_folder_twice_is_fine(tmp_path: Path) -> None:
    made = make_folder(tmp_path / "a" / "b")
    assert make_folder(made) == made
    assert made.is_dir()
