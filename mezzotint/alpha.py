"""What colour means where a picture can be seen through: the only place that converts it.

Outside a family colour is straight: the colour itself with alpha beside it, 0 where alpha is 0. A
family that is asked to (``alpha=premultiplied``) thinks of colour times alpha (Porter & Duff 1984),
so that nothing it learns, averages or compares depends on a colour that cannot be seen.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]

RGBA = 4
GROUNDS = {"white": 255, "black": 0}
"""What pictures are looked at on, as grey levels; each hides what the other shows."""

_DARK, _LIGHT, _CELLS = 112, 176, 8  # of a checkerboard: grey levels, cells a side


def premultiply(images: "Tensor") -> "Tensor":
    """Straight (N, 4, H, W) in [-1, 1] -> colour times alpha: -1 wherever alpha is 0."""
    import torch

    colour, alpha = images[:, :3], images[:, 3:]
    return torch.cat([(colour + 1) * ((alpha + 1) / 2) - 1, alpha], 1)


def unpremultiply(images: "Tensor") -> "Tensor":
    """The way back from :func:`premultiply`: (N, 4, H, W) in [-1, 1], clamped.

    Alpha is brought to the 255 levels it is stored in before colour is divided by it, or faint
    pixels would get bright or dark rims. Colour is min(p / alpha, 1), 0 where alpha is 0.
    """
    import torch

    unit = images.clamp(-1, 1) / 2 + 0.5
    alpha = (unit[:, 3:] * 255).round() / 255
    colour = (unit[:, :3] / alpha.clamp_min(1 / 255)).clamp(max=1)
    colour = torch.where(alpha > 0, colour, 0.0)
    return torch.cat([colour, alpha], 1) * 2 - 1


def weighed(images: "Tensor") -> "Tensor":
    """Images (N, C, H, W) in [-1, 1] as they can be compared: RGBA by colour times alpha."""
    return premultiply(images) if images.shape[1] == RGBA else images


def composite(images: "Tensor", level: float) -> "Tensor":
    """Straight (N, 4, H, W) in [0, 1] laid on a grey level in [0, 1]: (N, 3, H, W)."""
    colour, alpha = images[:, :3], images[:, 3:]
    return colour * alpha + level * (1 - alpha)


def over(pixels: Pixels, level: "int | Pixels") -> Pixels:
    """Straight uint8 (..., H, W, 4) laid on grey levels 0 to 255, one or (H, W, 1): (..., H, W, 3).

    (alpha * colour + (255 - alpha) * level) / 255, rounded.
    """
    alpha = pixels[..., 3:].astype(np.uint16)
    ground = np.asarray(level, np.uint16) * (255 - alpha)
    laid: Pixels = ((pixels[..., :3] * alpha + ground + 127) // 255).astype(np.uint8)
    return laid


def cleared(pixels: Pixels) -> Pixels:
    """Straight uint8 (..., H, W, 4) with colour 0 where alpha is 0; the same array if it was so."""
    void = pixels[..., 3] == 0
    if not pixels[void].any():
        return pixels
    found = pixels.copy()
    found[void] = 0
    return found


def on_checkerboard(pixels: Pixels) -> Pixels:
    """uint8 (..., H, W, C) for people: what can be seen through lies on a checkerboard of greys.

    Both white and black things show on it. Pictures without alpha are returned as they are.
    """
    if pixels.shape[-1] != RGBA:
        return pixels
    height, width = pixels.shape[-3:-1]
    cell = max(1, min(height, width) // _CELLS)
    odd = (np.arange(height)[:, None] // cell + np.arange(width) // cell) % 2
    board: Pixels = np.where(odd, _DARK, _LIGHT).astype(np.uint8)
    return over(pixels, board[..., None])
