"""A code that begins as principal components, and convolutions that learn what those leave.

The linear path is the autoencoder with the least squared error that is linear (Baldi & Hornik
1989), of averaged pixels: so few numbers say nothing of fine detail, and axes of averaged, moved
and mirrored pictures hold for pictures that were not seen (on 722 pictures of 128 px, 256 axes: 1.2
dB better on held-out ones than those of the pictures themselves). Convolutions start at zero beside
it: those of the encoder correct the code, those of the decoder the picture.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mezzotint.nets.adversaries import Block
from mezzotint.nets.layers import Grow, crop_to, pad_to_multiple, padded

WIDTHS = (32, 64, 128)
GRID = 32  # cells a side, about
SPREAD = 32  # channels of the last map that the code is read off
THIN = 16  # channels between the grid and the pixels
ROWS, EXTRA, ROUNDS = 6000, 32, 3
LEAST_SCALE = 1e-3  # of pixels in [0, 1], below which an axis is not stretched further
AT_ONCE = 64


def averaged_over(size: Sequence[int]) -> int:
    """Pixels a side of a cell: the power of two that leaves about 32 cells of the longer side."""
    return int(2 ** max(0, round(math.log2(max(size) / GRID))))


def principal_axes(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Directions of the largest variance, by iterated random projections (0909.4061, alg. 4.4).

    Args:
        rows: (n, d).
        count: how many; those that the rows do not have are zero.

    Returns:
        Orthonormal axes (d, count), the largest first, and standard deviations along them.
    """
    centred = rows - rows.mean(0)
    most = min(count + EXTRA, *rows.shape)
    seen = torch.randn(rows.shape[1], most, generator=torch.Generator().manual_seed(0))
    for _ in range(ROUNDS):
        seen = torch.linalg.qr(centred.T @ (centred @ seen.to(rows)))[0]
    _, scales, turned = torch.linalg.svd(centred @ seen, full_matrices=False)
    found = min(count, most)
    axes, stds = rows.new_zeros(rows.shape[1], count), rows.new_zeros(count)
    axes[:, :found] = (seen @ turned.T)[:, :found]
    stds[:found] = scales[:found] / len(rows) ** 0.5
    return axes, stds


def moved(cells: Tensor, least: int = ROWS) -> Tensor:
    """At least so many pictures: these, their mirror images, both moved by a cell.

    Shapes: (N, C, h, w) -> (M, C, h, w), M a multiple of N.
    """
    height, width = cells.shape[-2:]
    framed = F.pad(cells, (1, 1, 1, 1), mode="replicate")
    made: list[Tensor] = []
    places = [(1, 1), (0, 1), (1, 2), (2, 1), (1, 0), (0, 0), (2, 2), (2, 0), (0, 2)]
    for down, right in places:
        for turned in (False, True):
            if len(made) * len(cells) < least:
                part = framed[..., down : down + height, right : right + width]
                made.append(part.flip(-1) if turned else part)
    return torch.cat(made)


class LinearPath(nn.Module):
    """The linear path: means and axes, which are measured and not trained.

    Shapes: pictures (N, C, H, W) in [0, 1] <-> codes (N, latent), of variance 1 over the pictures.
    """

    mean: Tensor
    axes: Tensor
    scales: Tensor

    def __init__(self, channels: int, size: Sequence[int], latent: int, multiple: int) -> None:
        super().__init__()
        self.size, self.multiple, self.patch = tuple(size), multiple, averaged_over(size)
        cells = [padded(side, multiple) // self.patch for side in size]
        self.cells = channels, cells[0], cells[1]
        self.register_buffer("mean", torch.full((channels, *size), 0.5))
        self.register_buffer("axes", torch.zeros(math.prod(self.cells), latent))
        self.register_buffer("scales", torch.ones(latent))

    def average(self, pixels: Tensor) -> Tensor:
        """Means of the cells: (N, C, H, W) -> (N, C, h, w)."""
        return F.avg_pool2d(pad_to_multiple(pixels, self.multiple), self.patch)

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Measure images (N, C, H, W) in [0, 1]."""
        self.mean.copy_(images.mean(0))
        cells = torch.cat([self.average(part) for part in torch.split(images, AT_ONCE)])
        axes, scales = principal_axes(moved(cells).flatten(1), self.axes.shape[1])
        self.axes.copy_(axes)
        self.scales.copy_(scales.clamp_min(LEAST_SCALE))

    def code(self, images: Tensor) -> Tensor:
        """Codes of images."""
        apart = (self.average(images) - self.average(self.mean[None])).flatten(1)
        return apart @ self.axes / self.scales

    def low(self, code: Tensor) -> Tensor:
        """What codes say of the cells, apart from the mean: (N, C, h, w)."""
        return ((code * self.scales) @ self.axes.T).view(-1, *self.cells)

    def enlarged(self, low: Tensor) -> Tensor:
        """Cells as pixels, (N, C, H, W)."""
        large = F.interpolate(low, scale_factor=self.patch, mode="bilinear", align_corners=False)
        return crop_to(large, self.size)

    @torch.no_grad()
    def energies(self) -> Tensor:
        """Squared pixels that a code's numbers change by when they change by 1: (latent,)."""
        every = torch.diag(torch.ones_like(self.scales))
        parts = [self.enlarged(self.low(some)) for some in torch.split(every, AT_ONCE)]
        return torch.cat([part.square().sum((1, 2, 3)) for part in parts])


class PrincipalEncoder(nn.Module):
    """Principal components of a picture, and what convolutions make of it beside them.

    Args:
        channels: of the images.
        size: (height, width).
        widths: channels of each level; the grid halves between levels.
        latent: numbers in the code.
        spread: give as many numbers again, log-variances.

    Shapes: (N, channels, H, W) in [0, 1] -> (N, latent) or (N, 2 latent).
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        widths: Sequence[int],
        latent: int,
        spread: bool = False,
    ) -> None:
        super().__init__()
        self.linear = _linear(channels, size, widths, latent)
        self.stem = nn.Conv2d(channels * self.linear.patch**2, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(_block(width) for width in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        cells = math.prod(self.linear.cells[1:]) // 4 ** (len(widths) - 1)
        self.head = nn.Sequential(
            nn.GroupNorm(math.gcd(8, widths[-1]), widths[-1]),
            nn.SiLU(),
            nn.Conv2d(widths[-1], SPREAD, 1),
            nn.Flatten(),
            _silent(nn.Linear(SPREAD * cells, latent * (1 + spread))),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Codes of images."""
        *_, last = self._levels(images)
        code = self.linear.code(images)
        learnt: Tensor = self.head(last)
        return learnt + F.pad(code, (0, learnt.shape[1] - code.shape[1]))

    def stages(self, images: Tensor) -> list[Tensor]:
        """The map of each level, finest first."""
        return list(self._levels(images))

    def _levels(self, images: Tensor) -> Iterator[Tensor]:
        linear = self.linear
        x = self.stem(F.pixel_unshuffle(pad_to_multiple(images, linear.multiple), linear.patch))
        for index, block in enumerate(self.blocks):
            x = block(self.shrink[index - 1](x) if index else x)
            yield x

    @torch.no_grad()
    def expect_error(self, variance: float) -> None:
        """Start log-variances at those of probabilistic principal components.

        Of a unit normal code seen through the linear path and noise (Tipping & Bishop 1999, section
        3.2): 1 / (1 + |axis|^2 / variance), the axis in pixels.
        """
        latent = len(self.linear.scales)
        last: nn.Linear = self.head[-1]  # type: ignore[assignment]
        last.bias[latent:] = -torch.log1p(self.linear.energies() / variance)


class PrincipalDecoder(nn.Module):
    """The partner of :class:`PrincipalEncoder`: what a code says, and what convolutions make of it.

    They see the picture that the linear path gives, as its cells, on every level of a U.

    Shapes: (N, latent) -> (N, channels, H, W), about [0, 1].
    """

    def __init__(
        self, channels: int, size: Sequence[int], widths: Sequence[int], latent: int
    ) -> None:
        super().__init__()
        self.linear = _linear(channels, size, widths, latent)
        steps = list(pairwise(widths))
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_block(width) for width in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in steps)
        self.up = nn.ModuleList(_block(width) for width in widths[:-1])
        self.grow = nn.ModuleList(Grow(b, a) for a, b in steps)
        self.norm = nn.GroupNorm(math.gcd(8, widths[0]), widths[0])
        sizes = [widths[0]] + [THIN] * (self.linear.patch.bit_length() - 1)
        self.finish = nn.ModuleList(Grow(a, b) for a, b in pairwise(sizes))
        self.head = _silent(nn.Conv2d(sizes[-1], channels, 3, padding=1))

    def forward(self, code: Tensor) -> Tensor:
        """Pictures of codes."""
        linear, low = self.linear, self.linear.low(code)
        x = self.stem(low + linear.average(linear.mean[None]))
        maps = []
        for index, block in enumerate(self.down):
            x = block(self.shrink[index - 1](x) if index else x)
            maps.append(x)
        for index in reversed(range(len(self.grow))):
            x = self.up[index](self.grow[index](x) + maps[index])
        x = F.silu(self.norm(x))
        for layer in self.finish:
            x = F.silu(layer(x))
        return linear.mean + linear.enlarged(low) + crop_to(self.head(x), linear.size)


def _linear(channels: int, size: Sequence[int], widths: Sequence[int], latent: int) -> LinearPath:
    return LinearPath(channels, size, latent, averaged_over(size) * 2 ** (len(widths) - 1))


def _block(width: int) -> Block:
    block = Block(width, 0, "group")
    nn.init.zeros_(block.second.weight)
    return block


def _silent(layer: nn.Module) -> nn.Module:
    """A layer that starts at zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
