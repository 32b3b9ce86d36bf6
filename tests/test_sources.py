"""What each kind of data is read as, and what is refused."""

import gzip
import io
import json
import os
import struct
import sys
import tarfile
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mezzotint.data import fashion, open_source
from mezzotint.data.cache import cache_home
from mezzotint.data.scenes import SHAPES, scene
from mezzotint.data.shapes import draw_scene
from mezzotint.data.sources import list_sets
from mezzotint.errors import DataError, MissingExtraError, MissingInputError, UsageError

RNG = np.random.default_rng(0)


def png(seed: int = 0, size: tuple[int, int] = (8, 8)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def plant(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def facts(source: Any) -> dict[str, tuple[str | None, str | None, str | None]]:
    return {entry.name: (entry.label, entry.caption, entry.split) for entry in source.entries}


def skips(source: Any) -> dict[str, str]:
    return {skip.name: skip.reason for skip in source.skipped}


# built-in sets


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    source, truth = open_source("digits"), load_digits()
    assert len(source.entries) == 1797
    pixels = np.stack([source.read(at) for at in range(1797)])[..., 0]
    np.testing.assert_array_equal(pixels, np.rint(truth.images * 255 / 16))
    assert [entry.label for entry in source.entries] == [str(digit) for digit in truth.target]


def test_shapes_depend_on_their_index_alone_and_keep_their_word() -> None:
    source = open_source("shapes")
    assert len(source.entries) == 8000
    for at in (0, 17, 3999):
        picture = source.read(at)
        np.testing.assert_array_equal(picture, draw_scene(at))
        shown = scene(at)
        assert source.entries[at].caption == shown.caption
        assert source.entries[at].label == shown.figures[0].shape
    assert {entry.label for entry in source.entries} == set(SHAPES)


@pytest.mark.parametrize(
    ("relation", "axis", "sign"),
    [("above", 1, -1), ("below", 1, 1), ("left of", 0, -1), ("right of", 0, 1)],
)
def test_captions_say_where_shapes_stand(relation: str, axis: int, sign: int) -> None:
    from mezzotint.data.scenes import COLOURS

    found = 0
    for at in range(300):
        shown = scene(at)
        if f" {relation} " not in shown.caption:
            continue
        centres = []
        for figure in shown.figures:
            near = np.abs(draw_scene(at).astype(int) - COLOURS[figure.colour]).max(axis=2) < 12
            ys, xs = np.nonzero(near)
            centres.append((xs.mean(), ys.mean()))
            assert figure.colour in shown.caption
            assert figure.shape in shown.caption
        if shown.figures[0].colour != shown.figures[1].colour:
            assert (centres[0][axis] - centres[1][axis]) * sign > 10
            found += 1
    assert found > 10


def test_named_sets_are_listed() -> None:
    assert {"digits", "shapes", "fashion-mnist"} <= set(list_sets())


# fashion-mnist


def test_fashion_mnist_missing_says_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion, "SYSTEM_FOLDER", Path("/nonexistent"))
    with pytest.raises(MissingInputError) as caught:
        open_source("fashion-mnist")
    assert "apt-get install dataset-fashion-mnist" in caught.value.fix
    assert str(cache_home() / "datasets" / "fashion-mnist") in caught.value.fix


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def test_fashion_mnist_is_fetched_once_checked_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import hashlib

    contents = {
        name: idx(
            RNG.integers(0, 10, (6, 28, 28) if "images" in name else (6,), dtype=np.uint8),
        )
        for name in fashion.DIGESTS
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    asked = []

    def download(address: str) -> bytes:
        asked.append(address)
        return gzip.compress(contents[address.rpartition("/")[2]])

    monkeypatch.setattr(fashion, "SYSTEM_FOLDER", Path("/nonexistent"))
    monkeypatch.setattr(fashion, "DIGESTS", digests)
    monkeypatch.setattr(fashion, "download", download)
    monkeypatch.setenv("MEZZOTINT_HOME", str(tmp_path))
    monkeypatch.delenv("MEZZOTINT_OFFLINE")
    for _ in range(2):
        source = open_source("fashion-mnist")
        assert len(source.entries) == 12
    assert len(asked) == 4
    monkeypatch.setattr(fashion, "DIGESTS", {**digests, "train-images-idx3-ubyte.gz": "0" * 64})
    (tmp_path / "datasets/fashion-mnist/train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(MissingInputError, match="not the published one"):
        open_source("fashion-mnist")


@pytest.mark.skipif(not fashion.SYSTEM_FOLDER.is_dir(), reason="Debian's package is not here")
def test_fashion_mnist_of_debian_is_the_published_one() -> None:
    for name, digest in fashion.DIGESTS.items():
        assert fashion.verified((fashion.SYSTEM_FOLDER / name).read_bytes(), digest)
    source = open_source("fashion-mnist")
    sides = [entry.split for entry in source.entries]
    assert (sides.count("train"), sides.count("held_out")) == (60_000, 10_000)
    assert source.entries[0].label == "Ankle boot"


# folders


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    root = plant(tmp_path, {"cat/1.png": png(), "dog/2.PNG": png(), "dog/deep/3.jpeg": png()})
    assert facts(open_source(root)) == {
        "cat/1.png": ("cat", None, None),
        "dog/2.PNG": ("dog", None, None),
        "dog/deep/3.jpeg": ("dog", None, None),
    }


def test_images_beside_folders_mean_no_classes(tmp_path: Path) -> None:
    root = plant(tmp_path, {"a.png": png(), "dog/2.png": png(), "cat/3.png": png()})
    assert {label for label, _, _ in facts(open_source(root)).values()} == {None}


def test_split_folders_and_a_folder_around_everything(tmp_path: Path) -> None:
    names = ["train/cat/1.png", "train/dog/2.png", "valid/cat/3.png", "Test/dog/4.png"]
    root = plant(tmp_path, {f"outer/inner/{name}": png() for name in names})
    found = {name: (label, side) for name, (label, _, side) in facts(open_source(root)).items()}
    assert found == {
        "outer/inner/train/cat/1.png": ("cat", "train"),
        "outer/inner/train/dog/2.png": ("dog", "train"),
        "outer/inner/valid/cat/3.png": ("cat", "held_out"),
        "outer/inner/Test/dog/4.png": ("dog", "held_out"),
    }


def test_train_beside_other_folders_is_a_class(tmp_path: Path) -> None:
    root = plant(tmp_path, {"train/1.png": png(), "plane/2.png": png()})
    assert {fact[0] for fact in facts(open_source(root)).values()} == {"train", "plane"}


def test_metadata_decides_over_folders(tmp_path: Path) -> None:
    rows = [
        {"file_name": "a/1.png", "text": "one", "label": 3},
        {"file_name": "b\\2.png", "caption": "two"},
        {"file_name": "../3.png"},
        {"file_name": "/etc/x.png"},
        {"file_name": "gone.png"},
        {"file_name": "a/1.png", "text": "again"},
    ]
    lines = "\n\n".join(json.dumps(row) for row in rows).encode()
    files = {"a/1.png": png(), "b/2.png": png(), "b/4.png": png(), "metadata.jsonl": lines}
    source = open_source(plant(tmp_path, files))
    assert facts(source) == {"a/1.png": ("3", "one", None), "b/2.png": (None, "two", None)}
    assert skips(source) == {
        "../3.png": "outside",
        "/etc/x.png": "outside",
        "gone.png": "missing",
        "a/1.png": "duplicate-name",
        "b/4.png": "unlisted",
    }


def test_metadata_csv_in_each_split(tmp_path: Path) -> None:
    files = {
        "train/metadata.csv": '\ufefffile_name,text,label\n1.png,"a, b",x\n'.encode(),
        "train/1.png": png(),
        "test/metadata.jsonl": b'{"file_name": "1.png", "label": "y"}',
        "test/1.png": png(),
    }
    assert facts(open_source(plant(tmp_path, files))) == {
        "train/1.png": ("x", "a, b", "train"),
        "test/1.png": ("y", None, "held_out"),
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{not json}", "line 2"),
        (b'{"file_name": "1.png", "text": "' + b"x" * 70_000 + b'"}', "line 2"),
        (b"[" * 50_000, "line 2"),
        (b'["1.png"]', "not a JSON object"),
        (b'{"text": "x"}', "file_name"),
        (b'{"file_name": "2.png", "label": {"a": 1}}', "label"),
        (b'{"file_name": "2.png", "text": 5}', "caption"),
        (b"\xff\xfe", "cannot read"),
    ],
)
def test_bad_metadata_names_file_and_line(tmp_path: Path, line: bytes, words: str) -> None:
    content = b'{"file_name": "1.png"}\n' + line + b"\n"
    root = plant(tmp_path, {"1.png": png(), "2.png": png(), "metadata.jsonl": content})
    with pytest.raises(DataError, match=words) as caught:
        open_source(root)
    assert "metadata.jsonl" in str(caught.value)


def test_captions_beside_images(tmp_path: Path) -> None:
    files = {
        "1.png": png(),
        "1.txt": "\ufeff  eine Brücke \n".encode(),
        "2.jpg": png(),
        "2.txt": b"x" * 9000,
        "3.png": png(),
        "3.txt": b"  \n",
        "notes.txt": b"about the set",
    }
    found = facts(open_source(plant(tmp_path, files)))
    assert found["1.png"][1] == "eine Brücke"
    assert found["2.jpg"][1] == "x" * 4000
    assert found["3.png"][1] is None


def test_hidden_and_foreign_images_are_listed(tmp_path: Path) -> None:
    files = ["1.png", ".h.png", "._1.png", "__MACOSX/1.png", ".git/1.png", "2.heic", "3.SVG"]
    source = open_source(plant(tmp_path, {name: png() for name in files}))
    assert list(facts(source)) == ["1.png"]
    assert skips(source) == {
        ".h.png": "not-image",
        "._1.png": "not-image",
        "2.heic": "unsupported",
        "3.SVG": "unsupported",
    }


def test_links_out_of_the_folder_and_loops(tmp_path: Path) -> None:
    plant(tmp_path, {"out/secret.png": png(), "in/1.png": png()})
    root = tmp_path / "in"
    (root / "away.png").symlink_to(tmp_path / "out/secret.png")
    (root / "up").symlink_to(tmp_path)
    (root / "loop").symlink_to(root)
    (root / "self.png").symlink_to(root / "self.png")
    (root / "same.png").symlink_to(root / "1.png")
    os.mkfifo(root / "pipe.png")
    source = open_source(root)
    assert list(facts(source)) == ["1.png", "same.png"]
    found = skips(source)
    assert {found[name] for name in ("away.png", "up", "loop")} == {"outside"}
    assert {found[name] for name in ("self.png", "pipe.png")} == {"unreadable"}


def test_odd_names_survive(tmp_path: Path) -> None:
    for name in (b"caf\xe9.png", b"two\nlines.png", "日本.png".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(png())
    source = open_source(tmp_path)
    assert [source.read(at) for at in range(3)] == [png()] * 3
    names = [entry.name for entry in source.entries]
    assert sorted(names) == ["caf\\xe9.png", "two\\nlines.png", "日本.png"]


def test_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    plant(tmp_path, {"a.csv": b"", "b.csv": b"", "c.mp4": b""})
    with pytest.raises(DataError, match=r"2 \.csv, 1 \.mp4"):
        open_source(tmp_path)


def test_run_folder_and_unknown_files_are_refused(tmp_path: Path) -> None:
    plant(tmp_path, {"run/run.json": b"{}", "x.docx": b"hello", "one.png": png()})
    for name, words in (("run", "run folder"), ("x.docx", "unknown"), ("one.png", "one image")):
        with pytest.raises(DataError, match=words):
            open_source(tmp_path / name)


def test_missing_names_get_a_hint(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(MissingInputError, match="did you mean 'digits'"):
        open_source("digit")
    with pytest.raises(MissingInputError, match=r"did you mean '.*photos'"):
        open_source(tmp_path / "fotos")
    with pytest.raises(UsageError):
        open_source("")


# archives


def labelled_files() -> dict[str, bytes]:
    return {"cat/1.png": png(1), "dog/2.png": png(2), "dog/2.txt": b"a dog", "cat/3.png": png(3)}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_archives_read_like_folders(tmp_path: Path, kind: str) -> None:
    folder = open_source(plant(tmp_path / "folder", labelled_files()))
    path = tmp_path / f"set.{kind}"
    if kind == "zip":
        zipped(path, labelled_files())
    else:
        tarred(path, labelled_files(), f"w:{kind[4:]}" if "." in kind else "w")
    archive = open_source(path)
    assert facts(archive) == facts(folder)
    for at in range(3):
        assert archive.read(at) == folder.read(at)


def test_webdataset_layout(tmp_path: Path) -> None:
    files = {
        "000.png": png(0),
        "000.txt": b"first",
        "000.cls": b"4",
        "001.png": png(1),
        "001.json": b'{"caption": "second", "label": "cat"}',
        "002.png": png(2),
        "002.json": b"[" * 5000,
    }
    source = open_source(tarred(tmp_path / "shard.tar", files))
    assert facts(source) == {
        "000.png": ("4", "first", None),
        "001.png": ("cat", "second", None),
        "002.png": (None, None, None),
    }
    assert skips(source) == {"002.json": "unreadable"}


HOSTILE = {"../up.png": png(), "/abs.png": png(), "a/../../up.png": png(), "C:/x.png": png()}


@pytest.mark.parametrize("make", [zipped, tarred])
def test_members_that_lead_out_are_left_out(tmp_path: Path, make: Any) -> None:
    source = open_source(make(tmp_path / "a.bin", {**HOSTILE, "good.png": png()}))
    assert list(facts(source)) == ["good.png"]
    assert set(skips(source).values()) == {"outside"}
    assert len(source.skipped) == 4


def test_zip_bomb_member_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", png())
        archive.writestr("bomb.png", bytes(65 << 20))
    assert skips(open_source(path)) == {"bomb.png": "too-large"}


def test_zip_member_that_lies_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "lie.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lie.png", bytes(1 << 20))
    content = path.read_bytes().replace(struct.pack("<I", 1 << 20), struct.pack("<I", 100))
    path.write_bytes(content)
    source = open_source(path)
    with pytest.raises(OSError, match="damaged"):
        source.read(0)


def test_encrypted_and_broken_archives(tmp_path: Path) -> None:
    path = zipped(tmp_path / "locked.zip", {"1.png": png()})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="encrypted"):
        open_source(path)
    plant(tmp_path, {"cut.zip": b"PK\x03\x04 nothing", "cut.tar": b"x" * 100, "cut.tar.gz": b"y"})
    good = tarred(tmp_path / "good.tgz", {"1.png": png(size=(64, 64))}, "w:gz").read_bytes()
    plant(tmp_path, {"half.tgz": good[: len(good) // 2]})
    for name in ("cut.zip", "cut.tar", "cut.tar.gz", "half.tgz"):
        with pytest.raises(DataError):
            open_source(tmp_path / name)
    assert not list((cache_home() / "unpacked").glob("*.part"))


def test_tar_links_and_devices_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("dev.png", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("./1.png")
        member.size = len(png())
        archive.addfile(member, io.BytesIO(png()))
    source = open_source(path)
    assert list(facts(source)) == ["1.png"]
    assert skips(source) == {"link.png": "unreadable", "dev.png": "unreadable"}


def test_tar_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mezzotint.data import archives

    monkeypatch.setattr(archives, "EXPANSION_FLOOR", 1 << 20)
    path = tarred(tmp_path / "bomb.tar.gz", {"1.png": bytes(8 << 20)}, "w:gz")
    with pytest.raises(DataError, match="grows beyond"):
        open_source(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for seed in (1, 2):
            archive.writestr("a.png", png(seed))
    source = open_source(path)
    assert source.read(0) == png(2)
    assert skips(source) == {"a.png": "duplicate-name"}


# IDX


def idx_folder(root: Path, packed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    images = RNG.integers(0, 256, (7, 5, 6), dtype=np.uint8)
    labels = np.arange(7, dtype=np.uint8)
    parts = {
        "train-images-idx3-ubyte": images[:5],
        "train-labels-idx1-ubyte": labels[:5],
        "t10k-images-idx3-ubyte": images[5:],
        "t10k-labels-idx1-ubyte": labels[5:],
    }
    for name, array in parts.items():
        content = gzip.compress(idx(array)) if packed else idx(array)
        plant(root, {f"{name}.gz" if packed else name: content})
    return images, labels


@pytest.mark.parametrize("packed", [False, True])
def test_idx_folder(tmp_path: Path, packed: bool) -> None:
    images, labels = idx_folder(tmp_path, packed)
    source = open_source(tmp_path)
    pixels = np.stack([source.read(at) for at in range(7)])[..., 0]
    np.testing.assert_array_equal(pixels, images)
    assert [entry.label for entry in source.entries] == [str(label) for label in labels]
    assert [entry.split for entry in source.entries] == ["train"] * 5 + ["held_out"] * 2


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"x", lambda c: b"\1" + c[1:]])
def test_idx_header_must_agree_with_the_file(tmp_path: Path, change: Any) -> None:
    idx_folder(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError):
        open_source(tmp_path)


# arrays


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((9, 20, 24), None), ((9, 20, 24, 3), None), ((9, 3, 20, 24), (0, 2, 3, 1))],
)
def test_npy_layouts(tmp_path: Path, shape: tuple[int, ...], axes: tuple[int, ...] | None) -> None:
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    source = open_source(tmp_path / "a.npy")
    expected = array.transpose(axes) if axes else array.reshape(9, 20, 24, -1)
    np.testing.assert_array_equal(np.stack([source.read(at) for at in range(9)]), expected)


def test_npy_of_floats_is_scaled(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.float32).reshape(1, 16, 16) / 255
    np.save(tmp_path / "a.npy", values)
    pixels = open_source(tmp_path / "a.npy").read(0)
    np.testing.assert_array_equal(np.asarray(pixels).ravel(), np.arange(256))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 3, 9, 3), np.uint8),
        np.zeros((4, 9, 9, 2), np.uint8),
        np.zeros((4, 9), np.uint8),
        np.zeros((0, 9, 9), np.uint8),
        np.full((4, 9, 9), -0.5, np.float32),
        np.full((4, 9, 9), np.nan, np.float32),
        np.zeros((4, 9, 9), np.int64),
    ],
)
def test_other_arrays_are_refused_with_what_is_accepted(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError) as caught:
        open_source(tmp_path / "a.npy")
    assert "accepted" in caught.value.fix


def test_npz_with_labels_classes_captions_and_test_side(tmp_path: Path) -> None:
    train, test = RNG.integers(0, 256, (2, 4, 16, 16), dtype=np.uint8)
    np.savez(
        tmp_path / "a.npz",
        x_train=train,
        y_train=np.array([[0], [1], [1], [-1]]),
        x_test=test,
        y_test=np.array([0, 0, 1, 1]),
        classes=np.array(["no", "yes"]),
        captions=np.array([f"c{at}" for at in range(8)]),
    )
    source = open_source(tmp_path / "a.npz")
    labels = [entry.label for entry in source.entries]
    assert labels == ["no", "yes", "yes", None, "no", "no", "yes", "yes"]
    assert [entry.split for entry in source.entries] == ["train"] * 4 + ["held_out"] * 4
    assert source.entries[5].caption == "c5"
    np.testing.assert_array_equal(np.asarray(source.read(5))[..., 0], test[1])


def test_pickles_in_arrays_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", images=np.array([Trap()], dtype=object))
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "d.npz").write_bytes((tmp_path / "a.npy").read_bytes())
    for name in ("a.npy", "b.npz", "c.npz", "d.npz"):
        with pytest.raises(DataError):
            open_source(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "arrays",
    [
        {"other": np.zeros((3, 9, 9), np.uint8)},
        {"images": np.zeros((3, 9, 9), np.uint8), "labels": np.zeros(2, np.int64)},
        {"images": np.zeros((3, 9, 9), np.uint8), "captions": np.array(["a"])},
        {
            "images": np.zeros((3, 9, 9), np.uint8),
            "labels": np.array([0, 1, 2]),
            "classes": np.array(["a"]),
        },
        {"x": np.zeros((3, 9, 9), np.uint8), "x_test": np.zeros((3, 8, 9), np.uint8)},
    ],
)
def test_npz_that_contradicts_itself(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError):
        open_source(tmp_path / "a.npz")


# hub


def test_hub_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"mezzotint\[hf\]"):
        open_source("hf:owner/name")


class FakeTable(list[dict[str, Any]]):
    features: dict[str, Any]

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)

    def cast_column(self, column: str, kind: Any) -> "FakeTable":
        return self

    def select_columns(self, columns: list[str]) -> "FakeTable":
        return self


def test_hub_columns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = type("Image", (), {})()
    label = types.SimpleNamespace(names=["cat", "dog"])
    (tmp_path / "1.png").write_bytes(png(1))

    def table(*values: dict[str, Any]) -> FakeTable:
        made = FakeTable(
            {"image": value, "label": at % 2, "text": f"t{at}"} for at, value in enumerate(values)
        )
        made.features = {"image": image, "label": label, "text": None}
        return made

    sets = {
        "train": table({"bytes": png(0)}, {"bytes": None, "path": str(tmp_path / "1.png")}),
        "test": table({"bytes": None, "path": None}),
    }
    fake = types.SimpleNamespace(load_dataset=lambda name, split: sets, Image=lambda decode: image)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    source = open_source("hf:owner/name")
    assert [(entry.label, entry.caption, entry.split) for entry in source.entries] == [
        ("cat", "t0", "train"),
        ("dog", "t1", "train"),
        ("cat", "t0", "held_out"),
    ]
    assert [source.read(0), source.read(1)] == [png(0), png(1)]
    with pytest.raises(OSError, match="no image"):
        source.read(2)
