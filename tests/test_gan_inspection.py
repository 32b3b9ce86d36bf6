"""What a GAN shows of itself: psi, neighbours, latents found for given images, diversity."""

import numpy as np
import pytest
import torch
from PIL import Image

import mezzotint as mz
from mezzotint import cli
from mezzotint.errors import UsageError
from mezzotint.families.capabilities import Generates, Reconstructs
from mezzotint.families.gan import GAN
from mezzotint.families.inverting import AT_ONCE, POOL, invert
from mezzotint.images import headed, to_float
from mezzotint.inspection import generating
from mezzotint.inspection.nearby import nearest_training_images
from mezzotint.progress import Silent
from mezzotint.seeds import ImageNoise, image_seeds

TINY = {"widths": (8, 16), "latent": 6, "groups": 0, "batch": 32, "images": 32 * 8}
TINY |= {"previews": 4, "log_every": 2}


@pytest.fixture(scope="module")
def digits():
    return mz.load_images("digits")


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    return mz.train("gan", digits, out=tmp_path_factory.mktemp("runs") / "g", **TINY)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(generating, "FEATURES", "pixels")
    monkeypatch.setattr(generating, "DRAWN", 64)
    monkeypatch.setattr(generating, "COMPARED", 64)


@pytest.fixture(scope="module")
def model():
    """Untrained, but with a generator whose images differ: one colour channel, no classes."""
    torch.manual_seed(0)
    return GAN(size=(16, 16), widths=(8, 16), latent=4).eval()


def pool(model, seed):
    z = ImageNoise(image_seeds(seed * POOL, POOL), "cpu", "invert").randn(model.config.latent)
    with torch.no_grad():
        return z, model.generator(z, None)


def test_psi_scales_the_latent(model):
    seeds = range(20)
    z = ImageNoise(seeds).randn(4)
    with torch.no_grad():
        wanted = model.generator(0.4 * z, None)
    torch.testing.assert_close(model.sample(seeds, psi=0.4), wanted, rtol=0, atol=1e-5)
    assert torch.equal(model.sample(seeds, psi=1), model.sample(seeds))
    middle = model.sample(seeds, psi=0)
    assert torch.equal(middle, middle[:1].expand_as(middle))
    walk = model.interpolate(0, 1, 3, psi=0.4)
    torch.testing.assert_close(walk[[0, 2]], wanted[:2], rtol=0, atol=1e-5)
    with pytest.raises(UsageError, match="psi"):
        model.sample(seeds, psi=-1)


def test_images_of_the_model_itself_are_found(model):
    images = model.sample(range(900, 904))
    _, made = pool(model, 0)
    start = ((made[None] - images[:, None]) / 2).square().flatten(2).mean(2).min(1).values
    found = invert(model, images, steps=150)
    wanted = ((found.images - images) / 2).square().flatten(1).mean(1)
    torch.testing.assert_close(found.errors, wanted)
    assert (found.errors < 0.1 * start).all()
    with torch.no_grad():
        again = model.generator(found.latents, None)
    torch.testing.assert_close(again, found.images, rtol=0, atol=1e-5)


def test_without_steps_the_nearest_sample_of_the_pool_is_taken(model):
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    z, made = pool(model, 5)
    nearest = (made[None] - images[:, None]).square().flatten(2).sum(2).argmin(1)
    found = invert(model, images, seed=5, steps=0, starts=3)
    assert torch.equal(found.latents, z[nearest])


def test_an_image_is_found_whatever_comes_with_it(model):
    images = torch.rand(AT_ONCE + 2, 1, 16, 16) * 2 - 1
    together = invert(model, images, steps=6, starts=2)
    told = []
    alone = invert(model, images[-1:], steps=6, starts=2, watch=lambda *at: told.append(at))
    assert torch.equal(together.images[-1:], alone.images)
    assert told == [(step, 6) for step in range(1, 7)]
    other = invert(model, images[-1:], seed=1, steps=6, starts=2)
    assert not torch.equal(other.latents, alone.latents)


def test_a_longer_search_and_more_starts_are_never_worse(model):
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    one, four = (invert(model, images, steps=20, starts=n).errors for n in (1, 4))
    assert (four <= one + 1e-7).all()
    assert (one <= invert(model, images, steps=0, starts=1).errors).all()


def test_latents_stay_where_drawn_ones_are(model):
    images = torch.ones(2, 1, 16, 16)
    found = invert(model, images, steps=100, starts=2)
    z, _ = pool(model, 0)
    assert (found.latents.norm(dim=1) <= max(2.0, float(z.norm(dim=1).max())) + 1e-5).all()
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(UsageError, match="starts"):
        invert(model, images, starts=0)


def test_a_search_is_no_reconstruction_to_evaluate(model):
    assert isinstance(model, Generates)
    assert not isinstance(model, Reconstructs)


def test_training_images_are_their_own_neighbours(digits):
    rows = [3, 50, 700]
    found = nearest_training_images(digits.train.gather(rows), digits.held_out, "pixels", Silent())
    assert (found.distances == 0).all()
    assert all((found.row(at)[0] == found.row(at)[1]).all() for at in range(3))
    others = digits.held_out.gather(range(20))
    found = nearest_training_images(others, digits.held_out, "pixels", Silent())
    train = digits.train.gather(range(len(digits.train))).reshape(len(digits.train), -1) / 255
    far = ((others.reshape(20, 1, -1) / 255 - train) ** 2).sum(2)
    nearest = np.sqrt(((found.row(4)[1] / 255.0 - others[4] / 255.0) ** 2).sum())
    assert nearest == pytest.approx(np.sqrt(far[4].min()), rel=1e-5)
    assert 0.5 < np.median(found.distances) < 1.5  # held-out images are the measure


def test_no_neighbours_where_nothing_tells_what_is_near(digits):
    samples = digits.train.gather(range(4))
    assert nearest_training_images(samples, digits.train, "pixels", Silent()) is None
    few = digits.held_out.subset(range(5))
    assert nearest_training_images(samples, few, "pixels", Silent()) is None


def test_a_heading_takes_the_lines_it_needs():
    sheet = np.zeros((40, 900, 3), np.uint8)
    short, long = headed(sheet, "one line"), headed(sheet, "many words " * 60)
    assert (short[-40:] == sheet).all()
    assert short.shape[1:] == sheet.shape[1:]
    assert long.shape[0] > short.shape[0] + 60
    assert (short[: len(short) - 40] < 128).any()
    assert headed(np.zeros((9, 9, 1), np.uint8), "words").shape[1] > 400


def test_inspect_draws_what_a_gan_can_show(run, digits, quick):
    found = mz.inspect(run.path, digits)
    names = {path.name for path in found.pictures}
    wanted = {"interpolation", "classes", "truncation", "neighbours", "diversity"}
    assert names == {f"{name}.png" for name in wanted}
    for path in found.pictures:
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 1
    scales = [row["psi"] for row in found.numbers["truncation"]]
    assert scales == list(generating.SCALES)
    assert found.numbers["nearest_training_images"]["n"] == 64
    assert not found.recommended


def call(*words):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    return caught.value.code or 0


def test_reconstruct_one_picture_and_a_set(run, digits, capsys, tmp_path):
    few = ["--steps", "3", "--starts", "2", "--out"]
    assert call("reconstruct", run.path, "digits", "-n", 3, *few, tmp_path / "all.npz") == 0
    assert "mean squared error" in capsys.readouterr().err
    made = np.load(tmp_path / "all.npz")["images"]
    wanted = invert(mz.load(run.path), to_float(digits.held_out.gather(range(3))), 0, 3, 2)
    assert made.shape == (3, 16, 16, 1)
    near = np.abs(to_float(made).numpy() - wanted.images.numpy())
    assert near.max() <= 1 / 127.5 + 1e-6
    Image.fromarray(digits.held_out.gather([0])[0, ..., 0]).save(tmp_path / "one.png")
    assert call("reconstruct", run.path, tmp_path / "one.png", *few, tmp_path / "one.npz") == 0
    assert (np.load(tmp_path / "one.npz")["images"][0] == made[0]).all()
    assert call("reconstruct", run.path, tmp_path / "one.png", *few, tmp_path / "sheet.png") == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 2 * 16


def test_psi_from_the_command_line(run, tmp_path):
    assert call("sample", run.path, "-n", 4, "--label", 3, "--psi", 0, "--out",
                tmp_path / "s.npz") == 0  # fmt: skip
    images = np.load(tmp_path / "s.npz")["images"]
    assert (images == images[:1]).all()
