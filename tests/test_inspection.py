"""Inspection: its pictures, its recommendation, and where the recommendation is kept."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import mezzotint as mz
from mezzotint import cli
from mezzotint.families.base import fixed_noise
from mezzotint.images import to_float
from mezzotint.inspection import solving
from mezzotint.inspection.levels import log_ratio
from mezzotint.inspection.solving import Setting, calls_of, recommend
from mezzotint.noise import Level

OPTIONS = {"widths": (8, 16), "blocks": 1, "images": 256, "batch": 32, "previews": 1}


@pytest.fixture(scope="module")
def digits():
    return mz.load_images("digits", size=16)


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    return mz.train("diffusion", digits, out=tmp_path_factory.mktemp("runs") / "d", **OPTIONS)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(solving, "REFERENCE_STEPS", 12)
    monkeypatch.setattr(solving, "STEPS", (2, 4))
    monkeypatch.setattr(solving, "COMPARED", 8)


def test_the_cheapest_near_enough_is_recommended():
    settings = [
        Setting("heun", 10, 19, 40.0),
        Setting("unipc", 10, 10, 31.0),
        Setting("ddim", 10, 10, 30.5),
        Setting("ddim", 4, 4, 12.0),
    ]
    assert recommend(settings, 30) == settings[1]
    assert recommend(settings, 35) == settings[0]
    assert recommend(settings[2:], 50) == settings[2]


def test_heun_calls_twice_but_at_the_last_level():
    assert (calls_of("heun", 5), calls_of("ddim", 5)) == (9, 5)


def test_pictures_numbers_and_a_recommendation_that_stays(run, digits, quick):
    found = mz.inspect(run.path, digits)
    names = {path.name for path in found.pictures}
    wanted = ("losses", "schedule", "solvers", "interpolation", "classes")
    assert names == {f"{name}.png" for name in wanted}
    for path in found.pictures:
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 1
    assert found.saved
    config = json.loads((run.path / "model" / "config.json").read_text())
    assert {key: config[key] for key in found.recommended} == dict(found.recommended)
    model = mz.load(run.path)
    assert model.config.steps == found.recommended["steps"]
    assert torch.equal(model.sample([0]), model.sample([0], **found.recommended))


def test_losses_by_level_are_those_of_the_family(run, digits, quick, tmp_path):
    found = mz.inspect(run.model, digits, out=tmp_path)
    pairs = found.numbers["loss_by_level"]
    held = digits.held_out
    pixels = to_float(held.gather(range(min(128, len(held)))))
    noise = fixed_noise("losses", len(pixels), torch.device("cpu")).randn(*run.model.shape)
    levels = run.model.process.draw(torch.full((len(pixels),), (3 + 0.5) / 24))
    marks = torch.from_numpy(held.labels_of(range(len(pixels))))
    with torch.no_grad():
        wanted = run.model.squared_error(pixels, noise, levels, marks).mean()
    assert pairs[3][1] == pytest.approx(float(wanted), rel=1e-5)
    assert [ratio for ratio, _ in pairs] == sorted(ratio for ratio, _ in pairs)
    assert not found.saved


def test_log_ratio_is_bounded_at_both_ends():
    assert log_ratio(Level(0.0, 1.0, 0.0))[0] == 3
    assert log_ratio(Level(1.0, 0.1, 0.0))[0] == pytest.approx(-1)


def test_an_unfinished_run_keeps_no_recommendation(digits, quick, tmp_path):
    run = mz.train("diffusion", digits, out=tmp_path / "r", **OPTIONS)
    (run.path / "model" / "config.json").unlink()
    assert not mz.inspect(run.path, digits).saved


def test_a_student_keeps_its_own_sampler(run, digits, quick, tmp_path):
    student = mz.distill(run, digits, out=tmp_path / "s", images=64, batch=32, previews=1)
    found = mz.inspect(student.path, digits)
    assert found.recommended == {}
    assert "solvers.png" in {path.name for path in found.pictures}
    assert mz.load(student.path).config.solver == "ddim"


def test_reconstructions_are_ranked(digits, tmp_path):
    run = mz.train("autoencoder", digits, out=tmp_path / "a", images=256, widths=(8, 16))
    found = mz.inspect(run.path, digits)
    assert found.pictures[0].name == "reconstructions.png"
    numbers = found.numbers["reconstruction_mse"]
    assert 0 <= numbers["best"] < numbers["worst"]
    assert found.recommended == {}


def call(*words):
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return end.value.code


def test_command_names_pictures_and_settings(run, quick, capsys, tmp_path):
    assert call("inspect", run.path, "digits", "--out", tmp_path / "look") == 0
    out = capsys.readouterr().out
    assert "picture:" in out
    assert "recommended: solver=" in out
    assert (tmp_path / "look" / "solvers.png").is_file()


def test_samples_from_the_command_line(run, capsys, tmp_path):
    out = tmp_path / "s.npz"
    words = ("sample", run.path, "-n", 3, "--label", "7", "--guidance", 2, "--steps", 3)
    assert call(*words, "--solver", "dpmpp-2m", "--out", out) == 0
    arrays = np.load(out)
    assert arrays["images"].shape == (3, 16, 16, 1)
    assert list(arrays["labels"]) == ["7"] * 3
    api = mz.sample(run.path, 3, label="7", guidance=2, steps=3, solver="dpmpp-2m")
    assert np.array_equal(arrays["images"], api)
    strip = tmp_path / "film.png"
    assert call("sample", run.path, "-n", 2, "--trajectory", strip, "--out", out) == 0
    assert strip.is_file()
    assert call("sample", run.path, "-n", 5, "--to-seed", 9, "--out", out) == 0
    assert len(np.load(out)["images"]) == 5


def test_pictures_to_start_from(run, digits, capsys, tmp_path):
    start, mask = tmp_path / "start.png", tmp_path / "mask.png"
    picture = digits.held_out.gather([0])[0, ..., 0]
    Image.fromarray(picture).save(start)
    half = np.zeros((16, 16), np.uint8)
    half[:, 8:] = 255
    Image.fromarray(half).save(mask)
    out = tmp_path / "s.npz"
    words = ("sample", run.path, "-n", 2, "--from", start, "--out", out)
    assert call(*words, "--mask", mask) == 0
    assert np.array_equal(np.load(out)["images"][0, :, :8, 0], picture[:, :8])
    assert call(*words, "--strength", 0.3) == 0
    assert call(*words, "--trajectory", tmp_path / "film.png") == 0
    assert (tmp_path / "film.png").is_file()
    assert call(*words, "--to-seed", 3) == 2
    assert call("sample", run.path, "--from", tmp_path / "no.png") == 66
    assert call("sample", run.path, "--mask", mask) == 2
    start.write_bytes(b"not a picture")
    assert call(*words) == 65
    err = capsys.readouterr().err
    assert "there is no picture here" in err
    assert "need an image" in err


def test_wrong_requests_say_what_to_do(run, digits, capsys, tmp_path):
    assert call("sample", run.path, "--label", "sevn") == 2
    assert call("sample", run.path, "--solver", "unipcc") == 78
    assert "unipc" in capsys.readouterr().err
    vae = mz.train("vae", digits, out=tmp_path / "v", images=64, widths=(8, 16))
    assert call("sample", vae.path, "--label", "7") == 2
    assert "samples without 'label'" in capsys.readouterr().err
    assert call("sample", vae.path, "--trajectory", tmp_path / "x.png", "--out",
                tmp_path / "s.png") == 2  # fmt: skip
    assert call("sample", vae.path, "--to-seed", 4) == 2
    capsys.readouterr()
    assert call("train", "vae", "digits", "--distill", "--out", tmp_path / "n") == 2
    assert "families: diffusion" in capsys.readouterr().err
    assert not (tmp_path / "n").exists()
