"""Distances between images against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mezzotint.similarity import absolute_error, psnr, squared_error, ssim

SHAPES = [(1, 32, 32), (3, 24, 40)]


def pair(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand((4, *shape), generator=generator, dtype=torch.float64)
    return first, (first + 0.1 * torch.randn(first.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_matches_scikit_image(shape):
    first, second = pair(shape)
    pad = 5  # scikit-image also leaves the border out of its mean
    for one, a, b in zip(ssim(first, second), first.numpy(), second.numpy(), strict=True):
        _, full = structural_similarity(
            a, b, data_range=1, channel_axis=0, full=True,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        expected = full[:, pad:-pad, pad:-pad].mean()
        assert float(one) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_psnr_matches_scikit_image(shape):
    first, second = pair(shape)
    for one, a, b in zip(psnr(first, second), first.numpy(), second.numpy(), strict=True):
        assert float(one) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1))


def test_errors_match_numpy():
    first, second = pair((3, 8, 8))
    gap = (first - second).numpy().reshape(4, -1)
    np.testing.assert_allclose(squared_error(first, second), (gap**2).mean(1))
    np.testing.assert_allclose(absolute_error(first, second), np.abs(gap).mean(1))


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_small_images_have_an_ssim(side):
    first, second = pair((1, side, side + 1))
    assert torch.allclose(ssim(first, first), torch.ones(4, dtype=torch.float64))
    assert (ssim(first, second) < 1).all()
