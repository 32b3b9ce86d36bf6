"""The two players of a GAN: a generator makes images of latents, a critic gives images a number.

Residual networks on a patchified grid, made to learn in minutes on a CPU. Both are told a class, or
nothing. Images of any size are padded to the multiple the halvings need, or cropped from it.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from mezzotint.nets.layers import NORMS, Grow, Norm, crop_to, pad_to_multiple, padded

SLOPE = 0.2
CLASS_WIDTH = 32
THINNEST = 16  # channels where the grid is that of the pixels
BRANCH_SCALE = 0.1
Upsample = Literal["transposed", "nearest"]


class Classes(nn.Module):
    """A vector for each class, and one for "no class".

    Shapes: label (N,) int64 with -1 for none, or None -> (N, width).
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.classes = classes
        self.table = nn.Embedding(classes + 1, width)

    def forward(self, label: Tensor | None, like: Tensor) -> Tensor:
        """The vectors; as many as ``like`` has rows where there are no labels at all."""
        if label is None:
            label = torch.full((len(like),), -1, device=like.device)
        found: Tensor = self.table(torch.where(label < 0, self.classes, label))
        return found


class Modulation(nn.Module):
    """norm(x) (1 + scale) + shift, both read off a vector (1707.00683; 1610.07629).

    Shapes: (N, width, H, W), (N, condition) -> (N, width, H, W).
    """

    def __init__(self, width: int, condition: int, norm: Norm) -> None:
        super().__init__()
        self.norm = nn.Sequential(*NORMS[norm](width))
        self.affine = nn.Linear(condition, 2 * width)
        nn.init.normal_(self.affine.weight, std=0.02)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """The modulated features."""
        scale, shift = self.affine(condition)[:, :, None, None].chunk(2, dim=1)
        out: Tensor = torch.addcmul(shift, self.norm(x), 1 + scale)
        return out


class Projection(nn.Module):
    """A linear output, plus how well the features fit the class (1802.05637, eq. 3).

    Args:
        width: channels of the features.
        cells: how many cells their grid has.
        classes: 0: no classes.
        bias: of the linear output.

    Shapes: (N, width, h, w), label (N,) or None -> (N,).
    """

    def __init__(self, width: int, cells: int, classes: int, bias: bool = True) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(width * cells, 1, bias)
        self.classes = Classes(classes, width) if classes else None

    def forward(self, features: Tensor, label: Tensor | None) -> Tensor:
        """One number an image."""
        found: Tensor = self.linear(self.flatten(features)).squeeze(1)
        if self.classes is not None:
            found = found + (self.classes(label, features) * features.mean((2, 3))).sum(1)
        return found


class Block(nn.Module):
    """x + a 3x3 and a 1x1 convolution, activation first; modulated where there is a condition.

    Args:
        width: channels.
        condition: width of the vector that modulates; 0: none, a plain norm.
        norm: before the activations.
    """

    def __init__(self, width: int, condition: int, norm: Norm) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 1)
        if condition:
            self.norm: nn.Module = Modulation(width, condition, norm)
        else:
            self.norm = nn.Sequential(*NORMS[norm](width))
        self.conditional = bool(condition)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x with what the block adds: (N, width, H, W)."""
        inner = self.norm(x, condition) if self.conditional else self.norm(x)
        inner = self.first(F.leaky_relu(inner, SLOPE))
        out: Tensor = x + self.second(F.leaky_relu(inner, SLOPE))
        return out


UPSAMPLES: dict[str, Callable[[int, int], nn.Module]] = {
    "transposed": lambda before, after: nn.ConvTranspose2d(before, after, 4, 2, 1),
    "nearest": Grow,
}


class Generator(nn.Module):
    """A residual generator; latent and class modulate every block (1809.11096, skip-z).

    Args:
        channels: of the images.
        size: (height, width) of the images.
        latent: numbers in z.
        patch: side of the pixel squares that the finest grid's cells stand for.
        widths: channels of each level, the finest first; the grid halves between levels.
        blocks: residual blocks a level.
        classes: 0: none.
        norm: of the blocks.
        upsample: ``transposed``: free 4x4 kernels between levels, and one convolution whose
            channels are laid out as squares of ``patch`` pixels; ``nearest``: :class:`Grow` all the
            way to the pixels, which cannot draw a pattern of the grid. ``patch`` is a power of two
            then.

    Shapes: z (N, latent), label (N,) int64 with -1 for none, or None -> (N, channels, H, W) in
    [-1, 1].
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        latent: int,
        patch: int,
        widths: Sequence[int],
        blocks: int = 1,
        classes: int = 0,
        norm: Norm = "group",
        upsample: Upsample = "transposed",
    ) -> None:
        super().__init__()
        grown, self.size = upsample == "nearest", tuple(size)
        self.patch = 1 if grown else patch
        top, cells = widths[-1], cells_of(size, patch * 2 ** (len(widths) - 1))
        self.classes = Classes(classes, CLASS_WIDTH) if classes else None
        vector = latent + (CLASS_WIDTH if classes else 0)

        def level(width: int) -> nn.ModuleList:
            return nn.ModuleList(Block(width, vector, norm) for _ in range(blocks))

        steps = list(pairwise(reversed(widths)))
        self.start = nn.Linear(vector, top * math.prod(cells))
        self.unflatten = nn.Unflatten(1, (top, *cells))
        self.levels = nn.ModuleList(level(width) for width in reversed(widths))
        self.grow = nn.ModuleList(UPSAMPLES[upsample](a, b) for a, b in steps)
        self.norm = Modulation(widths[0], vector, norm)
        last = thinned(widths[0], patch) if grown else [widths[0]]
        self.finish = nn.ModuleList(Grow(a, b) for a, b in pairwise(last))
        self.head = nn.Conv2d(last[-1], channels * self.patch**2, 3, padding=1)
        initialise(self)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images of latents."""
        if self.classes is not None:
            z = torch.cat([z, self.classes(label, z)], 1)
        x = self.unflatten(self.start(z))
        for index, blocks in enumerate(self.levels):
            x = self.grow[index - 1](x) if index else x
            for block in blocks.children():
                x = block(x, z)
        x = F.leaky_relu(self.norm(x, z), SLOPE)
        for layer in self.finish:
            x = F.leaky_relu(layer(x), SLOPE)
        return crop_to(F.pixel_shuffle(self.head(x), self.patch).tanh(), self.size)


def thinned(width: int, patch: int) -> list[int]:
    """Channels from a grid of cells to pixels: half at each enlargement, 16 at the least."""
    return [width] + [max(THINNEST, width >> level) for level in range(1, patch.bit_length())]


class Critic(nn.Module):
    """A residual critic without any norm across images, so that penalties see each one alone.

    Args and shapes: as of :class:`Generator`, the other way: images, label -> (N,). ``bias`` is of
    the output, for losses to which its zero matters.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        patch: int,
        widths: Sequence[int],
        blocks: int = 1,
        classes: int = 0,
        norm: Norm = "none",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.patch, self.multiple = patch, patch * 2 ** (len(widths) - 1)

        def level(width: int) -> nn.Sequential:
            return nn.Sequential(*(Block(width, 0, norm) for _ in range(blocks)))

        self.stem = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        self.levels = nn.ModuleList(map(level, widths))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        cells = math.prod(cells_of(size, self.multiple))
        self.head = Projection(widths[-1], cells, classes, bias)
        initialise(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """One number an image."""
        x = self.stem(F.pixel_unshuffle(pad_to_multiple(images, self.multiple), self.patch))
        for index, blocks in enumerate(self.levels):
            x = self.shrink[index - 1](x) if index else x
            x = blocks(x)
        out: Tensor = self.head(F.leaky_relu(x, SLOPE), label)
        return out


def cells_of(size: Sequence[int], multiple: int) -> tuple[int, int]:
    """Height and width of the coarsest grid of images padded to a multiple."""
    return padded(size[0], multiple) // multiple, padded(size[1], multiple) // multiple


def initialise(network: nn.Module) -> None:
    """He's initialisation for the leaky slope (1502.01852); branches start small (1901.09321)."""
    gain = nn.init.calculate_gain("leaky_relu", SLOPE)
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | Grow):
            nn.init.normal_(part.weight, std=gain / _fan_in(part) ** 0.5)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in network.modules():
        if isinstance(part, Block):
            with torch.no_grad():
                part.second.weight.mul_(BRANCH_SCALE)


def _fan_in(layer: nn.Conv2d | nn.ConvTranspose2d | Grow) -> float:
    """Products a pixel of the output is summed from."""
    if isinstance(layer, Grow):
        return layer.weight.numel() / layer.weight.shape[1]
    cells = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
    if isinstance(layer, nn.Conv2d):
        return cells
    return cells / (layer.stride[0] * layer.stride[1])


def constrain(network: nn.Module) -> None:
    """Divide every weight matrix by its largest singular value in each use (1802.05957).

    One power iteration a training pass; its vectors are buffers, so checkpoints hold them.
    """
    for part in list(network.modules()):
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            spectral_norm(part)


def has_batch_norm(network: nn.Module) -> bool:
    """Whether an image's output depends on the others of its batch, in training."""
    return any(isinstance(part, nn.BatchNorm2d) for part in network.modules())


@contextlib.contextmanager
def held_still(network: nn.Module) -> Iterator[None]:
    """What is computed in the block gives no gradient to the network's parameters."""
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
