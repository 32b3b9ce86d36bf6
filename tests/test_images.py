"""The pixel contract, sheets of pictures, and where they are written."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint import images
from mezzotint.errors import CannotCreateError, StorageError
from mezzotint.images import grid, rows_grid, save_image, save_images, to_float, to_uint8
from mezzotint.imaging.decode import decode
from mezzotint.imaging.provenance import read_provenance
from mezzotint.storage import files

LEVELS = np.arange(256, dtype=np.uint8)
PICTURE = np.random.default_rng(1).integers(0, 256, (8, 12, 3), dtype=np.uint8)
BATCH = np.random.default_rng(2).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
_SMALL = st.tuples(*(st.integers(1, 5) for _ in range(3)), st.sampled_from([1, 3, 4]))


def test_all_levels_come_back_and_lie_where_the_contract_says() -> None:
    values = to_float(LEVELS.reshape(1, 16, 16, 1))
    assert values.dtype == torch.float32
    expected = LEVELS.astype(np.float64) / 127.5 - 1
    np.testing.assert_allclose(values.numpy().ravel(), expected, atol=2e-7)
    assert [float(values.min()), float(values.max())] == [-1, 1]
    np.testing.assert_array_equal(to_uint8(values).ravel(), LEVELS)


@given(_SMALL, st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_pixels_survive_the_round_trip(shape: tuple[int, ...], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    values = to_float(pixels)
    assert values.shape == (shape[0], shape[3], shape[1], shape[2])
    assert values.is_contiguous()
    np.testing.assert_array_equal(to_uint8(values), pixels)
    np.testing.assert_array_equal(to_uint8(to_float(pixels[0])), pixels[0])


def test_channels_move_and_pixels_do_not() -> None:
    values = to_float(PICTURE[None])
    assert values[0, 2, 5, 7] == pytest.approx(float(PICTURE[5, 7, 2]) / 127.5 - 1, abs=1e-6)


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=30))
def test_rounding_is_to_the_nearest_level_and_clamped(values: list[float]) -> None:
    found = to_uint8(torch.tensor(values).reshape(1, 1, 1, -1)).ravel()
    exact = (np.clip(np.array(values), -1, 1) + 1) * 127.5
    assert np.abs(found - exact).max() <= 0.5 + 1e-4


def test_read_only_and_half_precision_inputs_are_taken() -> None:
    frozen = BATCH.copy()
    frozen.flags.writeable = False
    for kind in (torch.bfloat16, torch.float16, torch.float64):
        found = to_uint8(to_float(frozen).to(kind))
        assert np.abs(found.astype(int) - BATCH).max() <= (1 if kind == torch.bfloat16 else 0)


def test_what_is_no_picture_is_refused() -> None:
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="not finite"):
            to_uint8(torch.tensor([0.0, bad]).reshape(1, 1, 1, 2))
    with pytest.raises(ValueError, match="float NCHW"):
        to_uint8(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match="uint8 NHWC"):
        to_float(np.zeros((1, 2, 2, 1)))


def test_importing_the_module_leaves_torch_alone() -> None:
    code = "import sys, mezzotint.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 3), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_each_picture_of_a_grid_can_be_cut_out_again(n: int, c: int, scale: int, gap: int) -> None:
    pixels = np.random.default_rng(n).integers(0, 256, (n, 4, 6, 3), dtype=np.uint8)
    sheet = grid(pixels, columns=c, gap=gap, scale=scale, background=7)
    across, down = min(c, n), -(-n // min(c, n))
    assert sheet.shape == (down * (4 * scale + gap) - gap, across * (6 * scale + gap) - gap, 3)
    left_over = np.ones(sheet.shape[:2], bool)
    for index, (row, column) in zip(range(n), itertools.product(range(down), range(across))):
        top, left = row * (4 * scale + gap), column * (6 * scale + gap)
        cell = sheet[top : top + 4 * scale, left : left + 6 * scale]
        np.testing.assert_array_equal(cell, np.kron(pixels[index], np.ones((scale, scale, 1))))
        left_over[top : top + 4 * scale, left : left + 6 * scale] = False
    assert (sheet[left_over] == 7).all()


@pytest.mark.parametrize("side", [8, 28, 32, 64, 256, 900])
@pytest.mark.parametrize("count", [1, 2, 9, 64])
def test_a_sheet_is_large_enough_to_look_at_and_not_larger(side: int, count: int) -> None:
    if side * side * count > 5e6:
        return
    height, width = grid(np.zeros((count, side, side, 1), np.uint8), gap=0).shape[:2]
    plain = grid(np.zeros((count, side, side, 1), np.uint8), gap=0, scale=1).shape[:2]
    assert min(height, width) >= 480 or max(height, width) + max(plain) > 1600
    assert max(height, width) <= max(1600, *plain)
    assert width / height <= 2


def test_series_stand_above_each_other_in_blocks() -> None:
    first, second = BATCH, 255 - BATCH
    sheet = rows_grid([first, second], columns=3, gap=1, scale=1, background=9)
    block = 4 + 1 + 4
    assert sheet.shape == (2 * block + 4, 3 * 6 + 2, 3)
    np.testing.assert_array_equal(sheet[:4, :6], first[0])
    np.testing.assert_array_equal(sheet[5:9, :6], second[0])
    np.testing.assert_array_equal(sheet[block + 4 :][:4, 7:13], first[4])
    np.testing.assert_array_equal(sheet[block + 4 :][5:9, 7:13], second[4])
    assert (sheet[block : block + 4] == 9).all()
    assert (sheet[block + 4 :, 14:] == 9).all()


def test_captions_are_drawn_beside_and_leave_the_pictures_alone() -> None:
    plain = rows_grid([BATCH, BATCH], columns=5, scale=8)
    texts = ["original", "rebuilt\nlonger"]
    with_text = rows_grid([BATCH, BATCH], columns=5, scale=8, captions=texts)
    margin = with_text.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(with_text[:, margin:], plain)
    upper, lower = np.split(with_text[:, :margin], [plain.shape[0] // 2])
    assert min(upper.min(), lower.min()) < 100
    assert margin > 40


def test_grey_and_colour_series_share_a_sheet() -> None:
    sheet = rows_grid([BATCH[..., :1], BATCH], columns=5, gap=0, scale=1)
    np.testing.assert_array_equal(sheet[:4, :6], BATCH[0, ..., :1].repeat(3, axis=2))
    with pytest.raises(ValueError, match="different shapes"):
        rows_grid([BATCH, BATCH[:2]])
    with pytest.raises(ValueError, match="NHWC"):
        grid(BATCH[:0])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_saved_picture_is_read_back_to_the_bit(tmp_path: Path, channels: int) -> None:
    rgba = np.dstack([PICTURE, PICTURE[..., 0]])[..., :channels]
    path = save_image(tmp_path / "new" / "a.png", rgba)
    np.testing.assert_array_equal(decode(path.read_bytes(), "a.png", channels), rgba)  # type: ignore[arg-type]
    assert read_provenance(path) == {}


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_image(tmp_path / "a.png", PICTURE)
    before = path.read_bytes()

    def full(path: Path, content: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(StorageError, match="space"):
        save_image(path, 255 - PICTURE)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]


def test_places_that_cannot_hold_a_picture(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotCreateError):
        save_image(tmp_path / "file" / "a.png", PICTURE)
    with pytest.raises(CannotCreateError, match=r"\.png"):
        save_image(tmp_path / "a.bmp", PICTURE)
    with pytest.raises(ValueError, match="uint8 HWC"):
        save_image(tmp_path / "a.png", PICTURE.astype(float))


def test_a_folder_gets_one_file_a_picture_with_its_own_record(tmp_path: Path) -> None:
    names = ["a", None, "b", "a", "c"]
    paths = save_images(tmp_path / "out", BATCH, range(10, 15), names, {"model": "m"})
    assert [path.name for path in paths] == [f"{index:06d}.png" for index in range(5)]
    for index, path in enumerate(paths):
        np.testing.assert_array_equal(decode(path.read_bytes(), path.name, 3), BATCH[index])
        found = read_provenance(path)
        assert (found["seed"], found["label"], found["index"]) == (10 + index, names[index], index)
        assert found["model"] == "m"


def test_a_png_gets_the_sheet_and_all_seeds(tmp_path: Path) -> None:
    [path] = save_images(tmp_path / "a.PNG", BATCH, [1, 2, 3, 4, 5], metadata={"model": "m"})
    np.testing.assert_array_equal(decode(path.read_bytes(), "a", 3), grid(BATCH))
    found = read_provenance(path)
    assert (found["seeds"], found["count"], found["labels"]) == ([1, 2, 3, 4, 5], 5, None)


@pytest.mark.parametrize(
    ("labels", "stored"),
    [
        (None, [-1] * 5),
        ([0, 1, None, 2, 0], [0, 1, -1, 2, 0]),
        (["cat", None, "dog", "cat", "ü"], ["cat", "", "dog", "cat", "ü"]),
    ],
)
def test_an_npz_holds_the_arrays_without_pickle(
    tmp_path: Path, labels: list[Any] | None, stored: list[Any]
) -> None:
    seeds = [0, 1, 2, 3, 2**64 - 1]
    [path] = save_images(tmp_path / "a.npz", BATCH, seeds, labels)
    with np.load(path, allow_pickle=False) as found:
        assert sorted(found) == ["images", "labels", "seeds"]
        np.testing.assert_array_equal(found["images"], BATCH)
        assert found["seeds"].tolist() == seeds
        assert found["labels"].tolist() == stored


def test_lengths_must_agree(tmp_path: Path) -> None:
    for seeds, labels in (([1], None), (range(5), ["a"])):
        with pytest.raises(ValueError, match="5 pictures"):
            save_images(tmp_path / "a.png", BATCH, seeds, labels)
    assert not list(tmp_path.iterdir())
    assert set(images.__all__) <= set(dir(images))
