"""What a texture is made of around each pixel: brightness and the energy of its detail by scale."""

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (0.7, 1.4, 2.8)  # sigma in pixels of the detail
SPREAD = 2.0  # sigma of the surroundings whose energy counts, in units of the detail's
LARGE = 128  # shorter side from which every other pixel is enough
FLOOR = 1e-5  # energy that is taken for none: about the rounding of 8-bit levels


def band_features(images: Tensor) -> Tensor:
    """Local mean and log energy of Gaussian derivatives at three scales: (N, C (1 + 15), h, w).

    The grid is that of the pixels, or of every other one where the images are large.

    Too little detail shows as much as too much. Energies are those of the first and second
    derivatives (Laws 1980; Lindeberg 1998, 10.1023/A:1008045108935).

    Args:
        images: (N, C, H, W) in [0, 1].
    """
    step = 1 if min(images.shape[-2:]) < LARGE else 2
    found = [blurred(images, SCALES[-1], step)]
    for sigma in SCALES:
        soft = blurred(images, sigma)
        energies = [blurred(part.square(), SPREAD * sigma, step) for part in _derivatives(soft)]
        found += [torch.log(sigma**2 * part + FLOOR) for part in energies]
    return torch.cat(found, 1)


def blurred(images: Tensor, sigma: float, step: int = 1) -> Tensor:
    """Gaussian blur of (N, C, H, W), edges repeated, at every ``step``-th pixel."""
    radius = int(3 * sigma + 0.5)
    steps = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-steps.square() / (2 * sigma * sigma))
    kernel = (weights / weights.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, (radius,) * 4, "replicate")
    count = images.shape[1]
    rows = F.conv2d(padded, kernel[:, :, None], stride=(1, step), groups=count)
    return F.conv2d(rows, kernel[..., None], stride=(step, 1), groups=count)


def _derivatives(images: Tensor) -> list[Tensor]:
    """Central differences: d/dx, d/dy, d2/dx2, d2/dy2, d2/dxdy."""
    across, down = _difference(images, 3), _difference(images, 2)
    return [across, down, _difference(across, 3), _difference(down, 2), _difference(across, 2)]


def _difference(images: Tensor, axis: int) -> Tensor:
    padding = (1, 1, 0, 0) if axis == 3 else (0, 0, 1, 1)
    padded = F.pad(images, padding, "replicate")
    length = images.shape[axis]
    return (padded.narrow(axis, 2, length) - padded.narrow(axis, 0, length)) / 2
