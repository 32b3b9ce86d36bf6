"""Which size is chosen and what it would take: the table's rules, said in words, kept on resume."""

import numpy as np
import pytest
import torch
from PIL import Image

import mezzotint as mz
from mezzotint.api.runs import settled_size
from mezzotint.data.form import Limit, natural_size
from mezzotint.data.survey import Survey, uniform_survey
from mezzotint.errors import ConfigError
from mezzotint.training import estimates, sizes
from mezzotint.training.devices import pick_precision, slow_precision
from mezzotint.training.plans import make_plan

PHOTOS = Survey("", 100, None, 1080, (600, 800), (3000, 4000), False)


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def size_of(family, survey=PHOTOS, preset=None, **options):
    return natural_size(survey, sizes.limit_of(make_plan(family, preset, options)))


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(
    ("family", "preset", "budget", "side"),
    [
        ("diffusion", None, "10m", 64),
        ("diffusion", None, "30m", 128),
        ("diffusion", None, "1h", 256),
        ("vae", None, "5m", 128),
        ("autoencoder", "detector", "8m", 256),
        ("gan", None, "30m", 64),
        ("text-to-image", None, "30m", 64),
    ],
)
def test_photographs_get_what_the_length_can_do(family, preset, budget, side):
    assert size_of(family, preset=preset, budget=budget) == (side, side)


def test_a_gpu_does_a_larger_size_in_the_same_time(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert size_of("diffusion", budget="10m") == (256, 256)


@pytest.mark.usefixtures("two_cores")
def test_small_pictures_reference_presets_and_models_keep_their_size():
    assert size_of("gan", uniform_survey("", 10, (28, 28), 1), budget="1m") == (28, 28)
    assert size_of("gan", uniform_survey("", 10, (60, 80), 3), budget="1m") == (60, 80)
    assert size_of("gan", uniform_survey("", 10, (128, 128), 3), budget="1m") == (64, 64)
    icons = uniform_survey("", 10, (128, 128), 3)
    assert size_of("gan", icons, preset="classic", budget="1m") == (128, 128)
    assert size_of("vae", icons, budget="5m") == (128, 128)
    assert natural_size(icons) == (128, 128)


def test_larger_sizes_are_multiples_of_32():
    survey = Survey("", 9, None, 207, (207, 300), (900, 900), False)
    assert natural_size(survey, Limit(256, "")) == (192, 192)
    assert natural_size(survey, Limit(64, "")) == (64, 64)


@pytest.mark.usefixtures("two_cores")
def test_the_choice_is_said_and_a_run_keeps_it(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for at in range(12):
        pixels = random.integers(0, 256, (90, 100 + at, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{at}.png")
    told: list[str] = []

    class Listens:
        def update(self, *args, **kwargs):
            pass

        def say(self, text):
            told.append(text)

    def train():
        options = {"images": 16, "batch": 8, "previews": 0, "widths": (8, 8), "latent": 4}
        out = tmp_path / "run"
        return mz.train("vae", str(tmp_path / "photos"), out, progress=Listens(), **options)

    assert train().model.config.size == (64, 64)
    said = next(line for line in told if line.startswith("size:"))
    assert "64 px suit vae" in said
    assert "128 px from a --budget" in said
    assert "--size" in said
    assert settled_size(tmp_path / "run") == (64, 64)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # another machine
    monkeypatch.setattr(sizes, "limit_of", lambda plan: Limit(256, ""))
    assert train().model.config.size == (64, 64)


def test_a_crop_that_keeps_little_names_the_size_that_keeps_all():
    random = np.random.default_rng(0)
    images = mz.load_images(random.integers(0, 256, (12, 20, 300, 3), dtype=np.uint8))
    (caution,) = (line for line in images.describe() if "crop keeps" in line)
    assert "7%" in caution
    assert "--size 240x16" in caution


def test_a_tiny_picture_among_photographs_is_named(tmp_path):
    for at, side in enumerate((80, 90, 100, 8)):
        Image.new("RGB", (side, side), (at, 9, 9)).save(tmp_path / f"{at}.png")
    images = mz.load_images(tmp_path)
    assert any("8x8 pixels and is enlarged" in line for line in images.describe())


def test_a_plan_probes_real_steps(monkeypatch):
    monkeypatch.setattr(estimates, "SECONDS", 0.05)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setitem(sizes.GRADES, "vae", (sizes.Grade(16, 0), sizes.Grade(32, 60)))
    pictures = np.random.default_rng(0).integers(0, 256, (50, 40, 40, 3), dtype=np.uint8)
    images = mz.load_images(pictures)
    (found,) = mz.plan(images, budget="10m", families=["vae"])
    assert (found.probe.size, found.following.size) == ((16, 16), (32, 32))
    assert found.from_seconds == 3600
    assert found.probe.seconds == pytest.approx(100 * 45 / found.probe.images_per_second)
    assert found.following.disk > found.probe.disk > 50 * 16 * 16 * 3
    table = estimates.table([found])
    assert "16x16" in table
    assert "60 min" in table
    assert found.as_dict()["following"]["size"] == (32, 32)


def test_half_precision_on_a_cpu_is_advised_against(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "slower" in (slow_precision("bf16") or "")
    assert slow_precision("auto") is None
    with pytest.raises(ConfigError) as caught:
        pick_precision("fp16")
    assert "fp32" in str(caught.value.fix)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert slow_precision("bf16") is None
