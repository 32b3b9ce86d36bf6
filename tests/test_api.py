"""What a user does from Python, end to end on small data."""

import json
from importlib.metadata import version

import numpy as np
import pytest
import torch

import mezzotint as mz
from mezzotint.errors import ConfigError, UsageError
from mezzotint.images import read_provenance, to_float, to_uint8
from mezzotint.runs.folder import RunFolder

TINY = {"widths": (8, 16), "latent": 6, "batch": 64, "images": 1024, "log_every": 4, "previews": 2}


@pytest.fixture(scope="module")
def data():
    return mz.load_images("digits", size=16)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return mz.train("vae", data, out=tmp_path_factory.mktemp("runs") / "digits", **TINY)


def test_run_folder_holds_what_was_promised(run):
    names = {path.name for path in run.path.iterdir()}
    assert names >= {"run.json", "history.jsonl", "samples", "checkpoints", "model", "curve.png"}
    assert {path.name for path in (run.path / "model").iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
    }
    header = json.loads((run.path / "run.json").read_text())
    assert header["family"] == "vae"
    assert header["versions"]["torch"] == version("torch")
    assert RunFolder(run.path).status() == "finished"


def test_history_is_a_regular_grid_of_means(run):
    steps = [line["step"] for line in run.history]
    assert steps == [4, 8, 12, 16]
    assert [line["images"] for line in run.history] == [64 * step for step in steps]
    assert sum("validation_loss" in line for line in run.history) == 2
    for line in run.history:
        parts = line["reconstruction"] + line["kl"] * line["beta"]
        assert line["loss"] == pytest.approx(parts, rel=0.05)


def test_pictures_are_pictures(run):
    from PIL import Image

    assert [path.suffix for path in run.pictures] == [".png"] * 3
    for path in run.pictures:
        with Image.open(path) as picture:
            assert min(picture.size) > 100


def test_the_same_command_again_returns_the_finished_run(run, data):
    again = mz.train("vae", data, out=run.path, **TINY)
    seeds = range(4)
    assert torch.equal(again.model.sample(seeds), run.model.sample(seeds))


def test_another_option_is_refused(run, data):
    with pytest.raises(ConfigError, match="latent"):
        mz.train("vae", data, out=run.path, **{**TINY, "latent": 7})


def test_loaded_model_samples_the_same(run, tmp_path):
    model = mz.load(run.path)
    assert torch.equal(model.sample(range(5)), run.model.sample(range(5)))
    pixels = mz.sample(run.path, n=5, out=tmp_path / "five.npz")
    assert np.array_equal(pixels, to_uint8(run.model.sample(range(5))))
    with np.load(tmp_path / "five.npz") as arrays:
        assert np.array_equal(arrays["images"], pixels)
        assert arrays["seeds"].tolist() == [0, 1, 2, 3, 4]


def test_sample_says_how_it_was_made(run, tmp_path):
    mz.sample(run.path, n=2, seed=9, out=tmp_path / "grid.png")
    record = read_provenance(tmp_path / "grid.png")
    assert record["model"] == "vae"
    assert record["seeds"] == [9, 10]


def test_reconstruct_uses_held_out_images(run, data):
    pixels = mz.reconstruct(run.model, data, n=6)
    originals = to_float(data.held_out.gather(range(6)))
    assert np.array_equal(pixels, to_uint8(run.model.reconstruct(originals)))


def test_reconstruct_with_noise_damages_first(run, data, tmp_path):
    plain = mz.reconstruct(run.model, data, n=6)
    noisy = mz.reconstruct(run.model, data, n=6, noise=0.5, out=tmp_path / "noisy.png")
    assert not np.array_equal(plain, noisy)
    assert (tmp_path / "noisy.png").is_file()


def test_evaluate_agrees_with_numpy(run, data):
    values = mz.evaluate(run.model, data.held_out)
    pixels = data.held_out.gather(range(len(data.held_out)))
    rebuilt = run.model.reconstruct(to_float(pixels)).numpy() / 2 + 0.5
    error = (rebuilt[:, 0] - pixels[..., 0] / 255.0) ** 2
    mse = values["mse"]
    assert mse.value == pytest.approx(error.mean(), rel=1e-4)
    assert mse.low < mse.value < mse.high
    assert mse.n == len(data.held_out)
    deviation = error.reshape(len(error), -1).mean(1).std() / np.sqrt(len(error))
    assert mse.high - mse.low == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_bound_is_tighter_than_the_elbo_and_in_bits(run, data):
    values = mz.evaluate(run.model, data.held_out, draws=32)
    assert values["nll_bound"].value < values["negative_elbo"].value
    bits = values["nll_bound"].value / (256 * np.log(2)) + 8
    assert values["bits_per_dim"].value == pytest.approx(bits, rel=1e-5)
    assert "K=32" in values["nll_bound"].note
    assert 0 <= values["active_units"].value <= 6


def test_a_model_instance_can_be_trained(data, tmp_path):
    model = mz.VAE(size=16, widths=(8,), latent=3)
    run = mz.train(model, data, out=tmp_path, images=128, batch=64)
    assert run.model is model
    with pytest.raises(ConfigError, match="latent"):
        mz.train(model, data, out=tmp_path / "b", latent=4)
    with pytest.raises(UsageError, match="channels"):
        mz.train(mz.VAE(size=32, widths=(8,)), data, out=tmp_path / "c", images=64)


def test_a_time_budget_is_kept(data, tmp_path):
    options = {**TINY, "images": None, "budget": "2s"}
    run = mz.train("autoencoder", data, out=tmp_path, **options)
    last = run.history[-1]
    assert last["progress"] == 1
    assert 2 <= last["seconds"] < 6


def test_autoencoder_does_not_pretend_to_sample(data, tmp_path):
    run = mz.train("autoencoder", data, out=tmp_path, **{**TINY, "images": 128})
    with pytest.raises(UsageError, match="no distribution"):
        mz.sample(run.path)


def test_training_reports_what_it_found(tmp_path):
    class Notes:
        def __init__(self):
            self.said, self.shares = [], []

        def update(self, done, total, note="", seconds_left=0):
            self.shares.append(done / total)

        def say(self, text):
            self.said.append(text)

    notes = Notes()
    mz.train("autoencoder", "digits", tmp_path, progress=notes, size=16, **{**TINY, "images": 256})
    text = "\n".join(notes.said)
    assert "1,797 images" in text
    assert "16x16" in text
    assert "classes: 10" in text
    assert notes.shares[-1] == 1


@pytest.mark.parametrize("flip", [False, True])
def test_flip_mirrors_half_of_the_images(flip, data):
    from mezzotint.seeds import BatchNoise
    from mezzotint.training.feeding import Feed

    feed = Feed(data, 200)
    rows = feed.rows(0, 0)
    images = feed.batch(rows, BatchNoise(("flip",), 200), flip=flip).images
    plain = to_float(data.gather(rows))
    same = (images == plain).flatten(1).all(1)
    mirrored = (images == plain.flip(-1)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 60 < int(same.sum()) < 140 if flip else same.all()


def test_an_interrupted_run_can_be_used(data, tmp_path):
    class QuitError(Exception):
        pass

    class Impatient:
        def update(self, done, total, note="", seconds_left=0):
            if done > 0.5:
                raise QuitError

        def say(self, text):
            pass

    options = {**TINY, "checkpoint_seconds": 0}
    with pytest.raises(QuitError):
        mz.train("vae", data, out=tmp_path, progress=Impatient(), **options)
    assert RunFolder(tmp_path).status() == "interrupted"
    assert mz.load(tmp_path).sample(range(2)).shape == (2, 1, 16, 16)
    assert mz.train("vae", data, out=tmp_path, **options).history[-1]["progress"] == 1
