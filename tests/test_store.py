"""Packing: the right pixels, once, whatever happens in between; and the split by content."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from zoo import build_zoo

from mezzotint.data import building, load_images, packs, store, work
from mezzotint.data.building import label_rows
from mezzotint.data.cache import printable
from mezzotint.data.dataset import Images
from mezzotint.data.folder import FolderTree
from mezzotint.data.form import natural_size, parse_size
from mezzotint.data.packs import INDEX, MARKER, PIXELS
from mezzotint.data.splits import split_by_content, split_by_source
from mezzotint.data.store import pack
from mezzotint.data.survey import Look, Survey, load_survey, summarise, uniform_survey
from mezzotint.data.tree import File
from mezzotint.errors import CannotCreateError, DataError, StorageError, UsageError


def picture(seed: int, size: tuple[int, int] = (20, 20), channels: int = 3) -> np.ndarray:
    shape = size if channels == 1 else (*size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(seed: int, size: tuple[int, int] = (20, 20), channels: int = 3) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(seed, size, channels)).save(buffer, "PNG")
    return buffer.getvalue()


def plant(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    names = [f"{'cat' if at % 3 else 'dog'}/{at:02d}.png" for at in range(20)]
    return plant(tmp_path / "photos", {name: png(at) for at, name in enumerate(names)})


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are decoded."""
    names: list[str] = []
    real = work.draw_one

    def draw_one(source: Any, at: int, recipe: Any) -> np.ndarray:
        names.append(source.entries[at].name)
        return real(source, at, recipe)

    monkeypatch.setattr(work, "draw_one", draw_one)
    return names


def whole(images: Images) -> np.ndarray:
    return images.gather(range(len(images)))


# pixels


def test_pixels_labels_and_names_are_those_of_the_files(photos: Path, cache: Path) -> None:
    images = load_images(photos, cache=cache)
    assert (len(images), images.size, images.channels) == (20, (20, 20), 3)
    assert images.classes == ("cat", "dog")
    for at, name in enumerate(images.names):
        np.testing.assert_array_equal(
            images.gather([at])[0], picture(int(name.split("/")[1].split(".")[0]))
        )
        labels = images.labels_of([at])
        assert labels is not None
        assert images.classes[labels[0]] == name.split("/")[0]


def test_digits_are_doubled_and_split(cache: Path) -> None:
    images = load_images("digits", cache=cache)
    assert (images.size, images.channels, len(images)) == ((16, 16), 1, 1797)
    assert images.classes == tuple("0123456789")
    assert len(images.held_out) == 180
    small = load_images("digits", size=8, cache=cache)
    assert set(np.unique(small.pixels)) <= {round(value * 255 / 16) for value in range(17)}


def test_arrays_and_images_can_be_loaded(cache: Path) -> None:
    array = picture(0, (30, 28, 28), 1)
    images = load_images(array, cache=cache)
    np.testing.assert_array_equal(whole(images)[..., 0], array)
    assert load_images(images, cache=cache) is images
    wide = load_images(images, channels=3, cache=cache)
    np.testing.assert_array_equal(whole(wide), np.repeat(whole(images), 3, axis=3))
    np.testing.assert_array_equal(wide.held_out_rows, images.held_out_rows)


def test_alpha_is_flattened_unless_kept(tmp_path: Path, cache: Path) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, 8:] = (10, 20, 30, 255)
    np.save(tmp_path / "a.npy", np.stack([pixels] * 2))
    flat = load_images(tmp_path / "a.npy", cache=cache)
    assert flat.channels == 3
    assert flat.gather([0])[0, 0, 0].tolist() == [255, 255, 255]
    assert flat.gather([0])[0, 0, 8].tolist() == [10, 20, 30]
    black = load_images(tmp_path / "a.npy", background="black", cache=cache)
    assert black.gather([0])[0, 0, 0].tolist() == [0, 0, 0]
    kept = load_images(tmp_path / "a.npy", channels=4, cache=cache)
    np.testing.assert_array_equal(kept.gather([0])[0], pixels)
    assert any("channels=4 keeps it" in line for line in flat.describe())


def test_grey_files_stay_grey(tmp_path: Path, cache: Path) -> None:
    plant(tmp_path / "grey", {f"{at}.png": png(at, channels=1) for at in range(3)})
    assert load_images(tmp_path / "grey", cache=cache).channels == 1
    plant(tmp_path / "grey", {"colour.png": png(9)})
    assert load_images(tmp_path / "grey", cache=cache).channels == 3


# size


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({(28, 28): 9}, (28, 28)),
        ({(16, 128): 9}, (16, 128)),
        ({(8, 8): 9}, (16, 16)),
        ({(5, 10): 9}, (20, 40)),
        ({(4, 100): 9}, (16, 16)),
        ({(512, 300): 9}, (64, 64)),
        ({(30, 40): 5, (35, 30): 1}, (24, 24)),
        ({(10, 9): 5, (12, 30): 1}, (16, 16)),
    ],
)
def test_natural_size(sizes: dict[tuple[int, int], int], expected: tuple[int, int]) -> None:
    looks = [Look("x", size, False, False) for size, count in sizes.items() for _ in range(count)]
    entries: Any = [namedtuple("E", "name label caption split")("n", None, None, None)] * len(looks)
    assert natural_size(summarise(entries, looks, ())) == expected


def test_median_short_side_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 50):
        sizes = [(int(h), int(w)) for h, w in rng.integers(8, 99, (count, 2))]
        looks = [Look("x", size, False, False) for size in sizes]
        entries: Any = [namedtuple("E", "name label caption split")("n", None, None, None)] * count
        shorter = sorted(min(size) for size in sizes)
        assert summarise(entries, looks, ()).short == shorter[(count - 1) // 2]


def test_sizes_as_typed() -> None:
    assert parse_size(64) == parse_size("64") == (64, 64)
    assert parse_size("80x64") == parse_size((64, 80)) == (64, 80)
    for wrong in (7, 1025, "x", "64x", "1e3", (64,), True, -64, "80x4"):
        with pytest.raises(UsageError):
            parse_size(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings", [{"channels": 2}, {"fit": "corp"}, {"background": "whit"}, {"size": 4}]
)
def test_settings_that_make_no_sense(settings: dict[str, Any], photos: Path) -> None:
    with pytest.raises(UsageError):
        load_images(photos, **settings)


# one content, one pack


def test_folder_zip_and_tar_of_the_same_files_share_a_pack(
    photos: Path, cache: Path, tmp_path: Path, drawn: list[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted(photos.rglob("*.png"), reverse=True):
            archive.write(path, path.relative_to(photos))
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(photos, ".")
    sets = [
        load_images(place, cache=cache)
        for place in (photos, tmp_path / "set.zip", tmp_path / "set.tar.gz")
    ]
    assert len({images.fingerprint for images in sets}) == 1
    assert len(drawn) == 20
    assert len(list((cache / "packs").iterdir())) == 1


def test_second_start_decodes_nothing_and_reads_no_image(
    photos: Path, cache: Path, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_images(photos, cache=cache)
    assert len(drawn) == 20
    monkeypatch.setattr(store, "look", lambda source: pytest.fail("the files were read again"))
    again = load_images(photos, cache=cache)
    assert len(drawn) == 20
    assert again.fingerprint == first.fingerprint


def test_moved_and_copied_folders_reuse_the_pack(
    photos: Path, cache: Path, drawn: list[str], tmp_path: Path
) -> None:
    load_images(photos, cache=cache)
    shutil.copytree(photos, tmp_path / "copy")
    photos.rename(tmp_path / "moved")
    for name in ("copy", "moved"):
        assert load_images(tmp_path / name, cache=cache).spec == str(tmp_path / name)
    assert len(drawn) == 20


def test_a_changed_file_makes_a_new_pack(photos: Path, cache: Path, drawn: list[str]) -> None:
    first = load_images(photos, cache=cache)
    (photos / "dog/00.png").write_bytes(png(99))
    second = load_images(photos, cache=cache)
    assert first.fingerprint != second.fingerprint
    assert len(drawn) == 40


def test_fingerprint_covers_labels_and_settings(photos: Path, cache: Path) -> None:
    prints = {load_images(photos, cache=cache).fingerprint}
    prints.add(load_images(photos, size=16, cache=cache).fingerprint)
    prints.add(load_images(photos, channels=1, cache=cache).fingerprint)
    (photos / "cat").rename(photos / "lynx")
    prints.add(load_images(photos, cache=cache).fingerprint)
    assert len(prints) == 4


def test_processes_and_one_process_make_the_same_pack(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = load_images(photos, cache=tmp_path / "a", workers=1)
    monkeypatch.setattr(work, "PART", 4)
    monkeypatch.setattr(work, "TRIAL", 0.0)
    monkeypatch.setattr(work, "POOL_PAYS", 0.0)
    together = load_images(photos, cache=tmp_path / "b", workers=2)
    assert together.fingerprint == alone.fingerprint
    np.testing.assert_array_equal(whole(together), whole(alone))


def test_work_goes_on_here_when_processes_break(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(job: Any, start: int, workers: int) -> Any:
        yield job.run(start)
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(work, "PART", 4)
    monkeypatch.setattr(work, "TRIAL", 0.0)
    monkeypatch.setattr(work, "POOL_PAYS", 0.0)
    monkeypatch.setattr(work, "_pooled", broken)
    assert len(load_images(photos, cache=cache, workers=2)) == 20


# broken images


def test_broken_images_are_listed_and_left_out(photos: Path, cache: Path) -> None:
    whole_file = png(3, (64, 64))
    plant(
        photos,
        {
            "cat/empty.png": b"",
            "cat/cut.png": whole_file[: len(whole_file) // 2],
            "cat/text.png": b"hello",
        },
    )
    for _ in range(2):
        images = load_images(photos, size=16, cache=cache)
        assert len(images) == 20
        assert {skip.name: skip.reason for skip in images.skipped} == {
            "cat/empty.png": "empty",
            "cat/cut.png": "corrupt",
            "cat/text.png": "not-image",
        }
    assert any("skipped: 3 files" in line for line in images.describe())


def test_every_file_of_the_zoo_gets_its_verdict(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "zoo").mkdir()
    cases = build_zoo(tmp_path / "zoo")
    images = load_images(tmp_path / "zoo", size=32, cache=cache)
    verdicts = dict.fromkeys(images.names, "") | {skip.name: skip.reason for skip in images.skipped}
    for case in cases:
        assert verdicts[printable(case.name)] == case.reason, case.name


def test_all_broken_is_an_error(tmp_path: Path, cache: Path) -> None:
    cut = png(0, (64, 64))[:900]
    plant(tmp_path / "cut", {f"{at}.png": cut + bytes([at]) for at in range(3)})
    plant(tmp_path / "empty", {f"{at}.png": b"" for at in range(3)})
    for name, reason in (("cut", "3 corrupt"), ("empty", "3 empty")):
        with pytest.raises(DataError, match=reason):
            load_images(tmp_path / name, cache=cache)
    assert not list((cache / "packs").iterdir())


def test_a_file_that_becomes_readable_is_read(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FolderTree.read

    def refuse(tree: FolderTree, file: File) -> bytes:
        if file.name == "dog/00.png":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(tree, file)

    with monkeypatch.context() as patch:
        patch.setattr(FolderTree, "read", refuse)
        images = load_images(photos, cache=cache)
        assert [(skip.reason, skip.detail) for skip in images.skipped] == [
            ("unreadable", "Permission denied")
        ]
        assert len(images) == 19
    assert len(load_images(photos, cache=cache)) == 20


# packs on disk


@pytest.mark.parametrize("name", [MARKER, INDEX, PIXELS])
@pytest.mark.parametrize("how", ["gone", "cut", "changed"])
def test_a_damaged_pack_is_built_again(
    photos: Path, cache: Path, drawn: list[str], name: str, how: str
) -> None:
    first = load_images(photos, cache=cache)
    file = next((cache / "packs").iterdir()) / name
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-3] if how == "cut" else b"#" * (len(content) + 1))
    again = load_images(photos, cache=cache)
    assert again.fingerprint == first.fingerprint
    assert len(drawn) == 40
    assert len(list((cache / "packs").iterdir())) == 1


CHANGES = [
    ("count", 19),
    ("format", 99),
    ("labels", [5] * 20),
    ("labels", ["a"] * 20),
    ("labels", [0] * 3),
    ("train", [-1]),
    ("held_out", [20]),
    ("names", ["x"]),
    ("names", [1] * 20),
    ("captions", [1] * 20),
    ("classes", "ab"),
    ("skipped", [["a"]]),
    ("skipped", 5),
    ("train", [10**30]),
    ("warnings", None),
]


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_an_index_that_contradicts_itself_is_refused(
    photos: Path, tmp_path: Path, cache: Path, key: str, value: Any
) -> None:
    pack(photos, tmp_path / "packed", cache=cache)
    index = json.loads((tmp_path / "packed" / INDEX).read_text())
    packs.write_index(tmp_path / "packed", {**index, key: value})
    with pytest.raises(DataError, match="damaged"):
        load_images(tmp_path / "packed")


def test_pack_opens_without_its_source(photos: Path, tmp_path: Path, cache: Path) -> None:
    (photos / "dog/00.txt").write_text("a dog")
    made = pack(photos, tmp_path / "packed", size="16x24", cache=cache)
    shutil.rmtree(photos)
    shutil.rmtree(cache)
    opened = load_images(tmp_path / "packed")
    assert opened.size == (24, 16)
    assert opened.fingerprint == made.fingerprint
    assert opened.captions_of(range(20)).count("a dog") == 1  # type: ignore[union-attr]
    np.testing.assert_array_equal(whole(opened), whole(made))
    np.testing.assert_array_equal(opened.held_out_rows, made.held_out_rows)
    assert opened.describe()[1:] == made.describe()[1:]
    assert load_images(tmp_path / "packed", size=8, cache=cache).size == (8, 8)


def test_pack_replaces_a_pack_and_nothing_else(photos: Path, tmp_path: Path, cache: Path) -> None:
    pack(photos, tmp_path / "packed", cache=cache)
    pack(photos, tmp_path / "packed", size=8, cache=cache)
    assert load_images(tmp_path / "packed").size == (8, 8)
    with pytest.raises(CannotCreateError):
        pack(photos, photos, cache=cache)
    assert len(list(photos.rglob("*.png"))) == 20


def test_a_part_of_a_set_can_be_packed(photos: Path, tmp_path: Path, cache: Path) -> None:
    held_out = load_images(photos, cache=cache).held_out
    made = pack(held_out, tmp_path / "packed")
    np.testing.assert_array_equal(whole(made), whole(held_out))
    assert made.names == held_out.names_of(range(2))
    assert (len(made.train), len(made.held_out)) == (0, 2)


def test_no_space_is_said_before_and_leaves_nothing(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(packs.shutil, "disk_usage", lambda path: usage(10, 9, 1234))
    with pytest.raises(StorageError, match="1,234 are free") as caught:
        load_images(photos, cache=cache)
    assert str(cache / "packs") in caught.value.where
    assert not list((cache / "packs").iterdir())


@pytest.mark.parametrize("at", [0, 1])
def test_a_disk_that_fills_leaves_nothing(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = [(packs.PixelWriter, "append"), (packs, "write_bytes")][at]
    monkeypatch.setattr(*target, full)
    with pytest.raises(StorageError, match="packing needs") as caught:
        load_images(photos, cache=cache)
    assert caught.value.exit_code == 74
    assert not list((cache / "packs").iterdir())


@pytest.mark.parametrize("point", ["pack.part:1", "pack.rename:1"])
def test_a_killed_builder_leaves_no_half_pack(photos: Path, cache: Path, point: str) -> None:
    code = f"from mezzotint.data import load_images; load_images({str(photos)!r})"
    environment = {**os.environ, "MEZZOTINT_HOME": str(cache), "MEZZOTINT_FAULT": point}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(load_images(photos, cache=cache)) == 20
    assert [path.name[0] for path in (cache / "packs").iterdir()].count(".") == 0


def test_builders_at_the_same_time_agree(photos: Path, cache: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_images(photos, cache=cache).fingerprint))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(list((cache / "packs").iterdir())) == 1


def test_a_script_needs_no_guard_to_use_processes(photos: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from mezzotint.data import load_images, work\n"
        "work.PART, work.TRIAL, work.POOL_PAYS = 4, 0.0, 0.0\n"
        f"print(len(load_images({str(photos)!r}, workers=2)))\n"
    )
    environment = {**os.environ, "MEZZOTINT_HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = str(Path(work.__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, script], env=environment, check=True, capture_output=True, text=True
    )
    assert (ran.stdout, ran.stderr) == ("20\n", "")


def test_a_kept_survey_that_is_broken_is_made_again(tmp_path: Path) -> None:
    for content in ("", "[]", "{}", '{"format": 1}', "[" * 99_999, '{"format": 1, "dropped": 5}'):
        (tmp_path / "s.json").write_text(content)
        assert load_survey(tmp_path / "s.json") is None
    survey = Survey("c", 3, None, 9, (8, 9), (9, 99), True, 1, ((4, "corrupt", "it is"),))
    from mezzotint.data.survey import save_survey

    save_survey(tmp_path / "s.json", survey)
    assert load_survey(tmp_path / "s.json") == survey
    assert survey.covers(4) is False
    assert survey.rows(5) == [0, 1, 2, 3]


def test_torch_is_not_needed() -> None:
    code = (
        "import sys; from mezzotint.data import load_images; load_images('digits');"
        "assert not {'torch', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(work.__file__).parents[2])


# the set


def test_subsets_share_memory_and_keep_their_rows(photos: Path, cache: Path) -> None:
    images = load_images(photos, cache=cache)
    part = images.subset([5, 3, 11]).subset([2, 0])
    np.testing.assert_array_equal(part.rows, [11, 5])
    assert np.shares_memory(part.pixels, images.pixels)
    np.testing.assert_array_equal(part.gather([1]), images.gather([5]))
    assert part.names_of([0]) == images.names_of([11])
    assert sorted([*images.train.rows, *images.held_out.rows]) == list(range(20))
    assert len(images.train.train) == len(images.train)
    assert len(images.train.held_out) == 0
    assert images.gather([]).shape == (0, 20, 20, 3)
    with pytest.raises(IndexError):
        images.gather([20])
    with pytest.raises(ValueError, match="read-only"):
        images.pixels[0] = 0


def test_one_image_is_both_sides_with_a_warning(tmp_path: Path, cache: Path) -> None:
    for names in (["1.png"], ["1.png", "2.png", "3.png"]):
        root = plant(tmp_path / str(len(names)), {name: png(0) for name in names})
        images = load_images(root, cache=cache)
        assert len(images.train) == len(images.held_out) == len(names)
        assert any(line.startswith("note:") for line in images.describe())


def test_class_order_is_that_of_numbers() -> None:
    classes, rows = label_rows(["10", "9", None, "b", "a", "9"], ())
    assert classes == ("9", "10", "a", "b")
    assert rows is not None
    assert rows.tolist() == [1, 0, -1, 3, 2, 0]


# the split

DIGESTS = st.lists(st.integers(0, 40).map(lambda value: bytes([value])), min_size=1, max_size=120)


@given(DIGESTS, st.randoms())
def test_split_by_content(digests: list[bytes], random: Any) -> None:
    held_out = split_by_content(digests)
    assert len(held_out) == len(digests)
    held = {digest for digest, side in zip(digests, held_out, strict=True) if side}
    rest = {digest for digest, side in zip(digests, held_out, strict=True) if not side}
    assert not held & rest
    different = len(set(digests))
    assert bool(held) == (different > 1)
    assert rest
    largest = max(digests.count(digest) for digest in set(digests))
    assert held_out.sum() <= max(round(len(digests) / 10), largest)
    order = list(range(len(digests)))
    random.shuffle(order)
    np.testing.assert_array_equal(split_by_content([digests[at] for at in order]), held_out[order])


def test_a_tenth_is_held_out_and_ten_thousand_at_the_most() -> None:
    digests = [at.to_bytes(4, "big") for at in range(120_000)]
    assert split_by_content(digests[:1000]).sum() == 100
    assert split_by_content(digests).sum() == 10_000
    assert split_by_content(digests[:2]).sum() == 1


def test_the_source_decides_when_it_names_both_sides() -> None:
    found = split_by_source(["train", None, "held_out"])
    assert found is not None
    assert found.tolist() == [False, False, True]
    for sides in (["train", "train"], ["held_out", "held_out"], [None, None]):
        assert split_by_source(sides) is None  # type: ignore[arg-type]


def test_uniform_survey_of_grey_and_alpha() -> None:
    assert uniform_survey("c", 2, (8, 9), 1).grey
    assert uniform_survey("c", 2, (8, 9), 4).alpha == 2
    assert building.class_order("3") < building.class_order("12") < building.class_order("a")
