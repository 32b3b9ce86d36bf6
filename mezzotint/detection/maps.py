"""Heat maps from two versions of an image: how much they differ, pixel by pixel.

Images are (N, C, H, W) in [0, 1], maps (N, H, W), higher where they differ more.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.similarity import ssim_map

WINDOW = 11
SMOOTHING = 1 / 32  # sigma of a heat map's blur, of the image's shorter side
LARGE = 128  # shorter side from which maps are not blurred: a scratch is 2 pixels wide there too
PEAK, MOST_PEAK = 0.03, 128  # the hottest pixels whose mean is an image's score: share, number


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


def resized_map(heat: NDArray[np.floating], size: tuple[int, ...]) -> NDArray[np.floating]:
    """A heat map (h, w) at the size (H, W) of a mask, bilinear: never the mask at the map's."""
    if heat.shape == tuple(size):
        return heat
    whole = torch.from_numpy(np.ascontiguousarray(heat, dtype=np.float32))[None]
    return enlarged(whole, torch.Size(size))[0].numpy()


def smooth(maps: Tensor, share: float = SMOOTHING) -> Tensor:
    """Gaussian blur, sigma a share of the shorter side, mirrored edges; none of large images."""
    if min(maps.shape[-2:]) >= LARGE:
        return maps
    sigma = share * min(maps.shape[-2:])
    radius = min(int(3 * sigma + 0.5), min(maps.shape[-2:]) - 1)
    steps = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    weights = torch.exp(-steps.square() / (2 * sigma * sigma))
    weights = weights / weights.sum()
    padded = F.pad(maps[:, None], (radius,) * 4, "reflect")
    rows = F.conv2d(padded, weights.view(1, 1, -1, 1))
    return F.conv2d(rows, weights.view(1, 1, 1, -1))[:, 0]


def peak(maps: Tensor, share: float = PEAK) -> Tensor:
    """Mean of the highest values of each map, a share of the pixels, 1 to 128 of them: (N,).

    The number is bounded because a defect does not grow with the picture it is in.
    """
    flat = maps.flatten(1)
    return flat.topk(peak_count(flat.shape[1], share), dim=1).values.mean(1)


def peak_count(pixels: int, share: float = PEAK) -> int:
    """How many of a map's values are its peak."""
    return min(max(1, round(share * pixels)), MOST_PEAK)
