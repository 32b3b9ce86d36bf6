"""How alike two batches of images are, image by image; differentiable, so losses use them too.

Every function takes (N, C, H, W) float tensors in [0, 1] and returns (N,), but for the maps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def squared_error(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared error per pixel."""
    return (first - second).square().flatten(1).mean(1)


def absolute_error(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute error per pixel."""
    return (first - second).abs().flatten(1).mean(1)


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for a peak of 1; equal images give 100 dB."""
    return -10 * squared_error(first, second).clamp_min(1e-10).log10()


def ssim(first: Tensor, second: Tensor, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity, the mean of :func:`ssim_map`."""
    return ssim_map(first, second, window, sigma).flatten(1).mean(1)


def ssim_map(first: Tensor, second: Tensor, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity, Gaussian window without padding (Wang et al. 2004, eq. 13).

    (N, C, H - window + 1, W - window + 1). The window shrinks to the largest odd size that fits
    images smaller than it. As in that paper, variances are those of the window's weights, with
    K1 = 0.01 and K2 = 0.03.
    """
    side = min(window, *(length - 1 + length % 2 for length in first.shape[-2:]))
    kernel = _gaussian(side, sigma, first)
    mean_a, mean_b = _filter(first, kernel), _filter(second, kernel)
    var_a = _filter(first * first, kernel) - mean_a * mean_a
    var_b = _filter(second * second, kernel) - mean_b * mean_b
    covariance = _filter(first * second, kernel) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return luminance * structure


def _gaussian(side: int, sigma: float, like: Tensor) -> Tensor:
    steps = torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2
    weights = torch.exp(-steps.square() / (2 * sigma * sigma))
    return weights / weights.sum()


def _filter(images: Tensor, kernel: Tensor) -> Tensor:
    channels = images.shape[1]
    rows = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    columns = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(images, rows, groups=channels), columns, groups=channels)
