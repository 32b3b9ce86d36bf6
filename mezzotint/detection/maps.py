"""Heat maps from two versions of an image: how much they differ, pixel by pixel.

Images are (N, C, H, W) in [0, 1], maps (N, H, W), higher where they differ more.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mezzotint.similarity import ssim_map

WINDOW = 11
SMOOTHING = 1 / 32  # sigma of a heat map's blur, of the image's shorter side
PEAK = 0.03  # share of the pixels whose mean is the score of an image


def pixel_error(images: Tensor, rebuilt: Tensor) -> Tensor:
    """Squared difference, mean over the channels."""
    return (images - rebuilt).square().mean(1)


def structure_error(images: Tensor, rebuilt: Tensor) -> Tensor:
    """1 - SSIM of the window around each pixel (Bergmann et al., 1807.02011), mirrored edges."""
    side = min(WINDOW, *(length - 1 + length % 2 for length in images.shape[-2:]))
    first, second = (F.pad(part, (side // 2,) * 4, "reflect") for part in (images, rebuilt))
    return 1 - ssim_map(first, second, side).mean(1)


def feature_error(seen: Sequence[Tensor], rebuilt: Sequence[Tensor], size: torch.Size) -> Tensor:
    """Squared distance of unit feature vectors, mean over stages (as LPIPS, 1801.03924, eq. 1).

    Args:
        seen, rebuilt: a network's stages of the two versions, each (N, d, h, w).
        size: (H, W) of the maps.
    """
    apart = [
        (F.normalize(one) - F.normalize(two)).square().sum(1)
        for one, two in zip(seen, rebuilt, strict=True)
    ]
    return torch.stack([enlarged(part, size) for part in apart]).mean(0)


def enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    """(N, h, w) -> (N, H, W), bilinear."""
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def smooth(maps: Tensor, share: float = SMOOTHING) -> Tensor:
    """Gaussian blur with a sigma that is a share of the shorter side; mirrored edges."""
    sigma = share * min(maps.shape[-2:])
    radius = min(int(3 * sigma + 0.5), min(maps.shape[-2:]) - 1)
    steps = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    weights = torch.exp(-steps.square() / (2 * sigma * sigma))
    weights = weights / weights.sum()
    padded = F.pad(maps[:, None], (radius,) * 4, "reflect")
    rows = F.conv2d(padded, weights.view(1, 1, -1, 1))
    return F.conv2d(rows, weights.view(1, 1, 1, -1))[:, 0]


def peak(maps: Tensor, share: float = PEAK) -> Tensor:
    """Mean of the highest values of each map, a share of the pixels and one at least: (N,)."""
    flat = maps.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), dim=1).values.mean(1)
