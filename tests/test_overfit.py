"""Every family learns one detailed picture by heart, at every size; the kit that says so."""

import numpy as np
import pytest
from overfit_kit import (
    CHANNELS,
    OCTAVES,
    SIZES,
    decibels,
    detailed_picture,
    octave_energies,
)


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
