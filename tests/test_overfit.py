"""Every family learns one detailed picture by heart, at every size; the kit that says so."""

import numpy as np
import pytest
from overfit_kit import (
    CHANNELS,
    COPIES,
    OCTAVES,
    SIZES,
    decibels,
    detailed_picture,
    octave_energies,
    overfit,
)

import mezzotint as mz

CODERS = ("autoencoder", "vae")
LENGTH = {32: 6000, 80: 1600, 1024: 960}  # images of a coder by the longer side
STEPS = {32: 4000, 80: 16_000, 160: 12_000}  # of a diffusion model
ADVERSARIAL = {32: 3000, 80: 3200, 256: 1600}  # of a GAN


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
def test_the_picture_has_energy_in_every_octave(size, channels):
    picture = detailed_picture(size, channels)
    assert picture.shape == (*size, channels)
    shares = octave_energies(picture[None])[0]
    assert (shares / shares.sum()).min() > 0.02


def test_octaves_are_those_of_waves_of_known_frequency():
    """cos(pi k (2x + 1) / 2W) is one coefficient of the transform, k / 2W cycles a pixel."""
    across = np.arange(64)
    for octave, k in enumerate((40, 20, 10, 4)):
        wave = 128 + 100 * np.cos(np.pi * k * (2 * across + 1) / 128)
        picture = np.broadcast_to(wave.round(), (64, 64)).astype(np.uint8)[None, ..., None]
        shares = octave_energies(picture)[0]
        assert k / 128 >= OCTAVES[octave]
        assert shares[octave] > 0.99 * shares.sum()


def test_energies_add_up_to_the_variance():
    picture = detailed_picture((48, 80), 3)[None]
    variance = np.square((picture - picture.mean((1, 2))) / 255).sum()
    assert octave_energies(picture).sum() == pytest.approx(variance)


def test_colour_under_clear_places_is_not_seen():
    picture = detailed_picture((32, 32), 4)[None]
    other = picture.copy()
    other[..., :3][picture[..., 3] == 0] = 77
    assert decibels(other, picture) == 100


def by_side(table, size):
    return next(length for most, length in table.items() if max(size) <= most)


@pytest.mark.parametrize(("family", "size", "channels", "images"), [
    ("autoencoder", (48, 48), 4, 640), ("vae", (28, 28), 3, 6000),
])  # fmt: skip
def test_a_coder_learns_a_picture_by_heart(family, size, channels, images, tmp_path):
    found = overfit(family, size, channels, tmp_path / "run", images, sample=False)
    found.require(psnr=26)


def test_a_gan_learns_a_picture_by_heart(tmp_path):
    overfit("gan", (28, 28), 1, tmp_path / "run", 1500).require(psnr=18, high=1.6)


PLAIN = {"guidance": 1.0, "jitter": 0.0}  # one picture has no kinds, and is not to be moved


def test_a_diffusion_model_learns_a_picture_by_heart(tmp_path):
    overfit("diffusion", (28, 28), 3, tmp_path / "run", 4000, **PLAIN).require(psnr=26)


def test_what_a_narrow_head_cannot_say_stays_as_noise(tmp_path):
    """The kind of fault that the measure is for: 16 channels for the 192 numbers of a patch."""
    narrow = {"patch": 8, "widths": (16, 32), "prediction": "flow", "refiner": 0}
    model = mz.Diffusion(size=(32, 32), channels=3, **narrow)
    data = mz.load_images(np.repeat(detailed_picture((32, 32), 3)[None], COPIES, 0))
    run = mz.train(model, data, tmp_path / "run", images=640, batch=32, previews=0, jitter=0.0)
    made = mz.images.to_uint8(run.model.sample(range(8)))
    energy = octave_energies(made).mean(0) / octave_energies(detailed_picture((32, 32), 3)[None])[0]
    assert energy[0] > 2


@pytest.mark.slow
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("size", [size for size in SIZES if max(size) <= 160], ids=str)
def test_diffusion_learns_a_picture_by_heart_at_every_size(size, channels, tmp_path):
    images = by_side(STEPS, size)
    overfit("diffusion", size, channels, tmp_path / "run", images, **PLAIN).require(psnr=20)


@pytest.mark.slow
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("family", CODERS)
def test_coders_learn_a_picture_by_heart_at_every_size(family, size, channels, tmp_path):
    images = by_side(LENGTH, size)
    found = overfit(family, size, channels, tmp_path / "run", images, sample=False)
    found.require(psnr=26)


@pytest.mark.slow
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gans_learn_a_picture_by_heart_at_every_size(size, channels, tmp_path):
    found = overfit("gan", size, channels, tmp_path / "run", by_side(ADVERSARIAL, size))
    found.require(psnr=16)
