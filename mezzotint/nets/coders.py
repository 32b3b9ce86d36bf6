"""Encoders and decoders: images to a latent and back. They know nothing of losses or families.

With ``norm="none"``, ``activation="relu"`` and ``blocks=0`` the convolutional pair is exactly the
reference network: 3x3 stride-2 convolutions down, 4x4 stride-2 transposed convolutions up.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from mezzotint.nets.layers import (
    ACTIVATIONS,
    NORMS,
    Activation,
    Norm,
    Residual,
    crop_to,
    pad_to_multiple,
    padded,
)


def default_widths(size: Sequence[int], largest: int = 256) -> tuple[int, ...]:
    """Stage widths that bring the longer side down to about 4: 32, 64, 128, then ``largest``."""
    stages = max(2, (max(size) - 1).bit_length() - 2)
    return tuple(min(32 << stage, largest) for stage in range(stages))


class ConvEncoder(nn.Module):
    """Strided convolutions to features, then a flat or spatial code.

    Args:
        channels: image channels.
        size: image (height, width); padded inside to a multiple of 2 ** stages.
        widths: channels after each stride-2 stage.
        out: numbers in a flat code, or channels of a spatial one.
        spatial: keep the grid instead of flattening it.
        norm, activation: of every stage.
        blocks: residual blocks after each stage.

    Shapes: (N, channels, H, W) -> (N, out), or (N, out, H / 2^stages, W / 2^stages) if spatial.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        widths: Sequence[int],
        out: int,
        spatial: bool = False,
        norm: Norm = "none",
        activation: Activation = "relu",
        blocks: int = 0,
    ) -> None:
        super().__init__()
        self.multiple = 2 ** len(widths)
        self.stage_lengths = [2 + len(NORMS[norm](width)) + blocks for width in widths]
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, *widths)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), *NORMS[norm](after)]
            layers += [ACTIVATIONS[activation]()]
            layers += [Residual(after, norm, activation) for _ in range(blocks)]
        cells = _cells(size, self.multiple)
        head = [nn.Conv2d(widths[-1], out, 1)] if spatial else _flat_head(widths[-1], cells, out)
        self.layers = nn.Sequential(*layers, *head)

    def forward(self, images: Tensor) -> Tensor:
        """Code of (N, C, H, W) images; see the class for its shape."""
        code: Tensor = self.layers(pad_to_multiple(images, self.multiple))
        return code

    def stages(self, images: Tensor) -> list[Tensor]:
        """What each stage makes of the images, (N, width, H / 2^stage, W / 2^stage)."""
        inner, found, start = pad_to_multiple(images, self.multiple), [], 0
        for length in self.stage_lengths:
            inner = self.layers[start : start + length](inner)
            found.append(inner)
            start += length
        return found

    def head(self, last: Tensor) -> Tensor:
        """The code of what the last stage makes of images."""
        code: Tensor = self.layers[sum(self.stage_lengths) :](last)
        return code


class Marker(nn.Module):
    """Where an image is damaged, of all stages of a :class:`ConvEncoder`.

    Each stage is looked at with a 3x3 convolution and brought to the grid of the finest, where all
    are added and weighed.

    Args:
        widths: the encoder's.
        inner: channels of the sum.

    Shapes: [(N, width, h, w), ...], size -> logits (N, *size).
    """

    def __init__(self, widths: Sequence[int], inner: int = 16) -> None:
        super().__init__()
        self.looks = nn.ModuleList(nn.Conv2d(width, inner, 3, padding=1) for width in widths)
        self.weigh = nn.Sequential(nn.SiLU(), nn.Conv2d(inner, inner, 3, padding=1), nn.SiLU(),
                                   nn.Conv2d(inner, 4, 1), nn.PixelShuffle(2))  # fmt: skip

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Logits of damage, the top-left (H, W) of the padded image."""
        grid = stages[0].shape[-2:]
        seen = [look(stage) for look, stage in zip(self.looks, stages, strict=True)]
        whole = seen[0]
        for part in seen[1:]:
            whole = whole + F.interpolate(part, grid, mode="bilinear", align_corners=False)
        logits: Tensor = self.weigh(whole)[:, 0]
        return crop_to(logits, size)


class ConvDecoder(nn.Module):
    """The mirror of :class:`ConvEncoder`: a code to an image before any output activation.

    Args:
        channels: image channels.
        size: image (height, width).
        widths: the encoder's widths, in the encoder's order.
        latent: numbers in a flat code, or channels of a spatial one.
        spatial, norm, activation, blocks: as the encoder's.
        out_activation: ``sigmoid`` puts the pixels into [0, 1]; ``none`` gives logits or means.

    Shapes: the encoder's code -> (N, channels, H, W).
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        widths: Sequence[int],
        latent: int,
        spatial: bool = False,
        norm: Norm = "none",
        activation: Activation = "relu",
        blocks: int = 0,
        out_activation: str = "none",
    ) -> None:
        super().__init__()
        self.size, multiple = tuple(size), 2 ** len(widths)
        top, cells = widths[-1], _cells(size, multiple)
        layers: list[nn.Module] = (
            [nn.Conv2d(latent, top, 1)] if spatial else _flat_tail(latent, top, cells)
        )
        for before, after in pairwise(reversed((channels, *widths))):
            layers += [Residual(before, norm, activation) for _ in range(blocks)]
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
            layers += [*NORMS[norm](after), ACTIVATIONS[activation]()]
        del layers[-1 - len(NORMS[norm](channels)) :]
        layers += [nn.Sigmoid()] if out_activation == "sigmoid" else []
        self.layers = nn.Sequential(*layers)

    def forward(self, code: Tensor) -> Tensor:
        """Images (N, C, H, W) of codes."""
        return crop_to(self.layers(code), self.size)


class MLPEncoder(nn.Module):
    """Fully connected: (N, C, H, W) -> (N, out)."""

    def __init__(
        self, channels: int, size: Sequence[int], widths: Sequence[int], out: int,
        activation: Activation = "relu",
    ) -> None:  # fmt: skip
        super().__init__()
        inputs = channels * size[0] * size[1]
        self.layers = nn.Sequential(nn.Flatten(), *_dense((inputs, *widths, out), activation))

    def forward(self, images: Tensor) -> Tensor:
        """Codes (N, out) of (N, C, H, W) images."""
        code: Tensor = self.layers(images)
        return code


class MLPDecoder(nn.Module):
    """Fully connected: (N, latent) -> (N, C, H, W); ``widths`` are the encoder's."""

    def __init__(
        self, channels: int, size: Sequence[int], widths: Sequence[int], latent: int,
        activation: Activation = "relu", out_activation: str = "none",
    ) -> None:  # fmt: skip
        super().__init__()
        shape = (channels, *size)
        sides = (latent, *reversed(widths), channels * size[0] * size[1])
        last: list[nn.Module] = [nn.Sigmoid()] if out_activation == "sigmoid" else []
        self.layers = nn.Sequential(*_dense(sides, activation), *last, nn.Unflatten(1, shape))

    def forward(self, code: Tensor) -> Tensor:
        """Images (N, C, H, W) of codes."""
        images: Tensor = self.layers(code)
        return images


def grid_of(size: Sequence[int], stages: int) -> tuple[int, int]:
    """Height and width of a spatial code after ``stages`` halvings of a padded image."""
    return _cells(size, 2**stages)


def _cells(size: Sequence[int], multiple: int) -> tuple[int, int]:
    return padded(size[0], multiple) // multiple, padded(size[1], multiple) // multiple


def _flat_head(width: int, cells: tuple[int, int], out: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(width * cells[0] * cells[1], out)]


def _flat_tail(latent: int, width: int, cells: tuple[int, int]) -> list[nn.Module]:
    return [nn.Linear(latent, width * cells[0] * cells[1]), nn.Unflatten(1, (width, *cells))]


def _dense(sides: Sequence[int], activation: Activation) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(sides):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
    return layers[:-1]
