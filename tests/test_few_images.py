"""Few images: shifted by default where a model would copy them, never mirrored unasked."""

import numpy as np
import pytest
import torch

import mezzotint as mz
from mezzotint.families.diffusion import Diffusion
from mezzotint.runs.folder import RunFolder
from mezzotint.seeds import BatchNoise
from mezzotint.training.feeding import Feed, shifted
from mezzotint.training.few_images import FEW, JITTER, MOST_EPOCHS, copying, default_jitter
from mezzotint.training.loop import Record
from mezzotint.training.plans import make_plan
from mezzotint.training.recipe import Recipe
from mezzotint.training.session import Session

TINY = {"widths": (8,), "batch": 64, "previews": 0, "steps": 2}


class Said:
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def update(self, *args, **kwargs) -> None:
        pass


def images_of(count, tmp_path, side=8):
    path = tmp_path / f"{count}.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (count, side, side), np.uint8))
    return mz.load_images(path)


@pytest.mark.parametrize(("height", "width"), [(12, 20), (9, 9), (4, 33)])
def test_a_shift_is_a_crop_of_the_mirrored_image(height, width):
    draw = np.random.default_rng(0)
    images = torch.from_numpy(draw.normal(size=(40, 3, height, width)).astype(np.float32))
    uniform = torch.from_numpy(draw.random((40, 2)).astype(np.float32))
    made = shifted(images, uniform, 0.2).numpy()
    most = [round(0.2 * height), round(0.2 * width)]
    seen = set()
    for image, moved, part in zip(images.numpy(), made, uniform.numpy(), strict=True):
        down, right = (int(u * (2 * m + 1)) - m for u, m in zip(part, most, strict=True))
        margin = ((0, 0), (most[0],) * 2, (most[1],) * 2)
        padded = np.pad(image, margin, mode="reflect")
        top, left = most[0] - down, most[1] - right
        np.testing.assert_array_equal(moved, padded[:, top : top + height, left : left + width])
        seen.add((down, right))
    assert {down for down, _ in seen} == set(range(-most[0], most[0] + 1))


def test_a_side_of_one_pixel_stays():
    images = torch.rand(3, 1, 1, 5)
    assert shifted(images, torch.rand(3, 2), 0.5).shape == images.shape


def test_shifts_are_functions_of_the_place_in_the_run(tmp_path):
    feed = Feed(images_of(30, tmp_path), 16)
    rows = feed.rows(0, 0)
    whole = feed.batch(rows, BatchNoise(("k", 0), 16), jitter=0.2).images
    part = feed.batch(rows[4:9], BatchNoise(("k", 0), 16, 4, 9), jitter=0.2).images
    other = feed.batch(rows, BatchNoise(("k", 1), 16), jitter=0.2).images
    assert torch.equal(part, whole[4:9])
    assert not torch.equal(other, whole)
    assert not torch.equal(feed.batch(rows, BatchNoise(("k", 0), 16)).images, whole)


def test_images_are_shifted_by_default_where_few_would_be_copied(tmp_path):
    few, many = images_of(60, tmp_path), images_of(1200, tmp_path)
    wanted = {
        ("diffusion", None, few): JITTER,
        ("diffusion", None, many): 0,
        ("diffusion", "classic", few): 0,
        ("vae", None, few): 0,
    }
    for (family, preset, data), jitter in wanted.items():
        recipe = make_plan(family, preset, {}).recipe_for(data)
        assert (recipe.jitter, recipe.flip) == (jitter, False)
    assert make_plan("vae", None, {"jitter": 0.25}).recipe_for(few).jitter == 0.25
    assert make_plan("diffusion", None, {"jitter": 0}).recipe_for(few).jitter == 0
    assert default_jitter(FEW - 1) == JITTER
    assert default_jitter(FEW) == 0


def test_fifty_images_train_and_the_run_says_that_it_will_copy(tmp_path):
    data, said = images_of(50, tmp_path), Said()
    length = (MOST_EPOCHS + 10) * len(data.train)
    run = mz.train("diffusion", data, tmp_path / "r", progress=said, images=length, **TINY)
    assert RunFolder(run.path).header()["recipe"]["jitter"] == JITTER
    warnings = [line for line in said.lines if "copy" in line]
    assert len(warnings) == 1
    assert f"times over {len(data.train)} images" in warnings[0]
    assert f"--images {MOST_EPOCHS * len(data.train)}" in warnings[0]
    assert mz.sample(run.model, n=2).shape == (2, *data.size, 1)


def test_a_long_run_over_many_images_or_a_short_one_over_few_is_not_warned_of():
    assert copying(FEW, 1e9) == ""
    assert copying(50, 50 * MOST_EPOCHS) == ""
    assert copying(50, 51 * MOST_EPOCHS)


@pytest.mark.parametrize(("images", "progress", "warned"), [(900, 0.02, 1), (90, 0.02, 0)])
def test_a_budget_is_foreseen_by_its_pace(images, progress, warned, tmp_path):
    data, said = images_of(100, tmp_path), Said()
    recipe = Recipe(budget=60)
    model = Diffusion(size=(8, 8), widths=(8,))
    session = Session(model, data, recipe, RunFolder(tmp_path / "r"), {}, said)
    early = Record(images // 2, 1, 0.001, 0.1, {}, 1.0)
    for record in (early, *[Record(images, 1, progress, 1.0, {}, 1.0)] * 3):
        session._warn_of_copying(record)
    assert len(said.lines) == warned
