"""The generator and the discriminator of DCGAN (1511.06434), for any size, with or without classes.

At 28x28, one channel and widths 64, 128, 256 they are exactly the reference networks.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mezzotint.nets.adversaries import (
    CLASS_WIDTH,
    SLOPE,
    Classes,
    Modulation,
    Projection,
    cells_of,
)
from mezzotint.nets.layers import NORMS, Norm, crop_to


class ClassicGenerator(nn.Module):
    """The generator of DCGAN (1511.06434): a linear layer, then 4x4 transposed convolutions.

    Args:
        channels, size, latent, classes: as of :class:`Generator`.
        widths: the critic's; all but its first are used, in reverse.
        norm: after each transposed convolution but the last.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        latent: int,
        widths: Sequence[int],
        classes: int = 0,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.size = tuple(size)
        top, cells = widths[-1], cells_of(size, 2 ** (len(widths) - 1))
        self.classes = Classes(classes, CLASS_WIDTH) if classes else None
        vector = latent + (CLASS_WIDTH if classes else 0)
        start = nn.Linear(vector, top * math.prod(cells))
        layers: list[nn.Module] = [start, nn.Unflatten(1, (top, *cells))]
        for before, after in pairwise(reversed(widths[1:])):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
            if classes:
                layers += [Modulation(after, CLASS_WIDTH, norm), nn.ReLU()]
            else:
                layers += [*NORMS[norm](after), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[1], channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        initialise_classic(self)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images of latents."""
        known = None if self.classes is None else self.classes(label, z)
        x = z if known is None else torch.cat([z, known], 1)
        for layer in self.layers:
            x = layer(x, known) if isinstance(layer, Modulation) else layer(x)
        return crop_to(x, self.size)


class ClassicCritic(nn.Module):
    """The discriminator of DCGAN: strided 4x4 convolutions without bias, LeakyReLU, one logit.

    Args and shapes: as of :class:`Critic`. An odd side loses its last row at a halving.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        widths: Sequence[int],
        classes: int = 0,
        norm: Norm = "batch",
        bias: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise((channels, *widths))):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False)]
            layers += [*(NORMS[norm](after) if index else ()), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)
        cells = math.prod(side >> len(widths) for side in size)
        self.head = Projection(widths[-1], cells, classes, bias)
        initialise_classic(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """One logit an image."""
        out: Tensor = self.head(self.layers(images), label)
        return out


def initialise_classic(network: nn.Module) -> None:
    """N(0, 0.02) for weights, N(1, 0.02) for the gains of norms (1511.06434, section 3)."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
        elif isinstance(part, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(part.weight, 1.0, 0.02)
