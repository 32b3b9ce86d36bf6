"""A conditional U-Net: noisy images, times, labels and tokens in, one tensor out.

It knows nothing of losses, schedules or solvers. Images of any size are padded to the multiple the
halvings need and cropped after; a patchified stem lets small computers train on a smaller grid.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mezzotint.nets.conditioning import Attention, Conditioning, Film
from mezzotint.nets.layers import crop_to, pad_to_multiple

REFINED = 2  # pixels a side that the refiner folds


class Block(nn.Module):
    """Residual block: norm, SiLU, 3x3 convolution, twice; the second norm is conditioned.

    Args:
        width: channels.
        condition: width of the condition vector.
        attention: let the grid attend to itself after the convolutions.
        tokens: width of the tokens the grid attends to; 0: none.

    Shapes: (N, width, H, W), condition (N, condition) -> (N, width, H, W).
    """

    def __init__(self, width: int, condition: int, attention: bool, tokens: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(math.gcd(8, width), width)
        self.film = Film(width, condition)
        self.attention = Attention(width) if attention else None
        self.cross = Attention(width, tokens) if tokens else None
        nn.init.normal_(self.second.weight, std=1e-3)

    def forward(
        self, x: Tensor, condition: Tensor, tokens: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """x with what the block adds."""
        inner = self.first(F.silu(self.norm(x)))
        x = x + self.second(F.silu(self.film(inner, condition)))
        if self.attention is not None:
            x = self.attention(x)
        if self.cross is not None and tokens is not None:
            x = self.cross(x, tokens, mask)
        return x


class Refiner(nn.Module):
    """What residual blocks at half resolution add to an image, having seen the noisy one.

    A head that unfolds patches can say no more numbers a patch than it has channels, and most of
    them are taken up by the image; the fine noise that it does not name is taken off here.

    Args:
        channels: of the noisy image.
        out: channels of the image that is refined.
        width: channels in between.
        blocks: residual blocks.
        condition: width of the condition vector.

    Shapes: noisy (N, channels, H, W), made (N, out, H, W), condition (N, condition) -> as made.
    """

    def __init__(self, channels: int, out: int, width: int, blocks: int, condition: int) -> None:
        super().__init__()
        cells = REFINED**2
        self.first = nn.Conv2d((channels + out) * cells, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, condition, False, 0) for _ in range(blocks))
        self.norm = Film(width, condition)
        self.last = nn.Conv2d(width, out * cells, 3, padding=1)
        nn.init.normal_(self.last.weight, std=1e-3)

    def forward(self, noisy: Tensor, made: Tensor, condition: Tensor) -> Tensor:
        """made with what is added."""
        whole = pad_to_multiple(torch.cat([noisy, made], 1), REFINED)
        x = through(
            self.blocks, self.first(F.pixel_unshuffle(whole, REFINED)), condition, None, None
        )
        added = F.pixel_shuffle(self.last(F.silu(self.norm(x, condition))), REFINED)
        return made + crop_to(added, made.shape[-2:])


class UNet(nn.Module):
    """A U-Net whose skips join by a 1x1 convolution.

    Args:
        channels: of the input.
        out: channels of the output.
        patch: side of the pixel squares that are folded into channels first.
        widths: channels of each level; the grid halves between levels.
        blocks: residual blocks a level, on the way down and on the way up.
        attention: how many of the deepest levels attend to themselves.
        classes: labels; 0 for none.
        tokens: width of the token sequence the deepest levels attend to; 0 for none.
        refiner: channels of the :class:`Refiner` at the end; 0 for none.

    Shapes: noisy (N, channels, H, W), time (N,), label (N,) int64 or None, tokens (N, L, tokens)
    or None, mask (N, L) bool or None -> (N, out, H, W).
    """

    def __init__(
        self,
        channels: int,
        out: int,
        patch: int = 1,
        widths: Sequence[int] = (64, 128),
        blocks: int = 2,
        attention: int = 1,
        classes: int = 0,
        tokens: int = 0,
        refiner: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.multiple = patch, patch * 2 ** (len(widths) - 1)
        vector = 4 * widths[0]
        self.conditioning = Conditioning(widths[0], vector, classes)
        attends = [len(widths) - level <= attention for level in range(len(widths))]

        def level(width: int, attend: bool) -> nn.ModuleList:
            wanted = tokens if attend else 0
            return nn.ModuleList(Block(width, vector, attend, wanted) for _ in range(blocks))

        steps = list(pairwise(widths))
        self.stem = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(map(level, widths[:-1], attends))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in steps)
        self.middle = level(widths[-1], attends[-1])
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in steps)
        self.join = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in widths[:-1])
        self.up = nn.ModuleList(map(level, widths[:-1], attends))
        self.norm = Film(widths[0], vector)
        self.head = nn.Conv2d(widths[0], out * patch**2, 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-3)
        self.refiner = Refiner(channels, out, refiner, blocks, vector) if refiner else None

    def forward(
        self,
        noisy: Tensor,
        time: Tensor,
        label: Tensor | None = None,
        tokens: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """What the network predicts for each image."""
        told = (self.conditioning(time, label), tokens, mask)
        x = self.stem(F.pixel_unshuffle(pad_to_multiple(noisy, self.multiple), self.patch))
        skips = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            x = through(blocks, x, *told)
            skips.append(x)
            x = shrink(x)
        x = through(self.middle, x, *told)
        for index in reversed(range(len(skips))):
            x = self.join[index](torch.cat([self.grow[index](x), skips[index]], dim=1))
            x = through(self.up[index], x, *told)
        made = self.head(F.silu(self.norm(x, told[0])))
        image = crop_to(F.pixel_shuffle(made, self.patch), noisy.shape[-2:])
        return image if self.refiner is None else self.refiner(noisy, image, told[0])


def through(
    blocks: nn.Module, x: Tensor, condition: Tensor, tokens: Tensor | None, mask: Tensor | None
) -> Tensor:
    """Apply blocks one after the other."""
    for block in blocks.children():
        x = block(x, condition, tokens, mask)
    return x
