"""Corruptions do what their names say, in range and repeatably."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from mezzotint.corruptions import CORRUPTIONS, blur, corrupt, gaussian, masking, salt_and_pepper
from mezzotint.seeds import ImageNoise


def grey(count=6, size=(24, 32), channels=3, value=0.5):
    return torch.full((count, channels, *size), value)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("strength", [0.0, 0.2, 1.0])
def test_in_range_repeatable_and_by_seed(name, strength):
    clean = torch.rand(6, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    first = corrupt(clean, [name], strength, ImageNoise(range(6)))
    assert first.shape == clean.shape
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, corrupt(clean, [name], strength, ImageNoise(range(6))))
    alone = corrupt(clean[4:5], [name], strength, ImageNoise([4]))
    torch.testing.assert_close(first[4:5], alone)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_damages(name):
    clean = torch.rand(6, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(corrupt(clean, [name], 0.4, ImageNoise(range(6))), clean, atol=1e-3)


def test_gaussian_has_its_sigma():
    noisy = gaussian(grey(40), 0.05, ImageNoise(range(40)))
    assert float((noisy - 0.5).std()) == pytest.approx(0.05, rel=0.01)


def test_masking_takes_its_share_in_all_channels():
    masked = masking(grey(40), 0.3, ImageNoise(range(40)))
    assert float((masked == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert ((masked == 0).float().std(dim=1) == 0).all()


def test_salt_and_pepper_are_even():
    damaged = salt_and_pepper(grey(40), 0.2, ImageNoise(range(40)))
    for extreme in (0, 1):
        assert float((damaged == extreme).float().mean()) == pytest.approx(0.1, abs=0.01)


def test_blur_is_a_gaussian_filter():
    clean = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    strength = 0.4
    sigma = float(ImageNoise([0]).rand(1)) * strength * 32 / 10
    radius = int(3 * strength * 32 / 10) + 1
    expected = gaussian_filter(clean[0, 0].numpy(), sigma, mode="nearest", radius=radius)
    found = blur(clean, strength, ImageNoise([0]))[0, 0]
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-5, rtol=0)


def test_several_corruptions_are_mixed():
    clean = grey(200, size=(8, 8), channels=1)
    names = ["masking", "salt-and-pepper"]
    damaged = corrupt(clean, names, 0.5, ImageNoise(range(200)))
    salted = (damaged == 1).flatten(1).any(1).float().mean()
    assert 0.35 < float(salted) < 0.65


def test_no_corruption_is_the_identity():
    clean = grey()
    assert corrupt(clean, (), 0.2, ImageNoise(range(6))) is clean
