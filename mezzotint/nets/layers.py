"""Small layers shared by the networks."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["none", "group", "batch"]
Activation = Literal["relu", "silu", "leaky"]
GROUP, MOST_GROUPS = 4, 32

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "leaky": lambda: nn.LeakyReLU(0.2),
}
NORMS: dict[str, Callable[[int], list[nn.Module]]] = {
    "none": lambda width: [],
    "group": lambda width: [nn.GroupNorm(math.gcd(8, width), width)],
    "batch": lambda width: [nn.BatchNorm2d(width)],
}


class Residual(nn.Module):
    """x + f(x) with two 3x3 convolutions, norm and activation first (He et al., 1603.05027).

    Shapes: (N, width, H, W) -> the same.
    """

    def __init__(self, width: int, norm: Norm = "group", activation: Activation = "silu") -> None:
        super().__init__()
        self.body = nn.Sequential(
            *NORMS[norm](width),
            ACTIVATIONS[activation](),
            nn.Conv2d(width, width, 3, padding=1),
            *NORMS[norm](width),
            ACTIVATIONS[activation](),
            nn.Conv2d(width, width, 3, padding=1),
        )
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """x + body(x), (N, width, H, W)."""
        out: Tensor = x + self.body(x)
        return out


class Grow(nn.Module):
    """Nearest-neighbour enlargement by two and a 3x3 convolution, as one transposed convolution.

    A kernel of 4x4 that is a 3x3 one smeared over 2x2 does the same with 16 products a pixel of the
    input in place of 36. Unlike a free 4x4 kernel it sums to the same in all four places that a
    cell is enlarged to, so a flat input gives a flat output: no dots, whatever the weights
    (Odena et al. 2016, "Deconvolution and checkerboard artifacts").

    Shapes: (N, before, H, W) -> (N, after, 2H, 2W).
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(before, after, 3, 3))
        self.bias = nn.Parameter(torch.zeros(after))
        nn.init.normal_(self.weight, std=(9 * before) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The enlarged features."""
        turned = F.pad(self.weight.flip(2, 3), (1, 1, 1, 1))
        rows = turned[:, :, :-1] + turned[:, :, 1:]
        smeared = rows[..., :-1] + rows[..., 1:]
        return F.conv_transpose2d(x, smeared, self.bias, stride=2, padding=1)


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Repeat the right and bottom edge until both sides are a multiple: (N, C, H, W) -> larger."""
    height, width = images.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if bottom == right == 0:
        return images
    return F.pad(images, (0, right, 0, bottom), mode="replicate")


def crop_to(images: Tensor, size: Sequence[int]) -> Tensor:
    """The top-left (H, W) part: undoes :func:`pad_to_multiple`."""
    return images[..., : size[0], : size[1]]


def padded(side: int, multiple: int) -> int:
    """The side after :func:`pad_to_multiple`."""
    return side + -side % multiple


def norm_groups(widths: Sequence[int]) -> int:
    """Groups of group norm that divide every width and hold 4 channels at the least, 32 at most."""
    common = math.gcd(*widths)
    return next(
        n for n in range(MOST_GROUPS, 0, -1) if common % n == 0 and n * GROUP <= max(common, GROUP)
    )
