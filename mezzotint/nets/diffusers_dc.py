"""diffusers' ``AutoencoderDC`` (2410.10733), begun as the best linear code of patches.

Its residual branches can be silenced, and what is left is linear: a grid of patches is halved again
and again, each time kept as its principal components. So it starts where patch PCA ends, and
training adds what a linear code cannot say.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_dc import AutoencoderDC, ResBlock
from torch import Tensor, nn

from mezzotint.nets.layers import crop_to, pad_to_multiple, padded

LOG_VARIANCE = 2 * math.log(0.05)  # of what is added to latents in training; their own spread is 1
FACTOR, CELLS = 2, 4
TAPS = ((1, 1), (1, 2), (2, 1), (2, 2))  # of a 3x3 kernel with stride 2, on the four pixels halved
FAINT = 0.1  # of the usual weights: channels that stand for no component yet
SMALL = 1 / 8  # of a patch's components before the last norm, beside a channel of one height
STEADY = 2.0  # that height: the norm divides by nearly the same everywhere
LIFT = 8.0  # keeps components above the last rectifier's bend
LEAST_STD = 1e-3


class Components(NamedTuple):
    """Principal components of squares of cells.

    Attributes:
        mean: (4 C,) of the squares, channels first, then cells.
        basis: (k, 4 C), orthonormal rows, the strongest first.
        std: (k,) of the components.
    """

    mean: Tensor
    basis: Tensor
    std: Tensor


class DiffusersDC(nn.Module):
    """Encoder and decoder of ``AutoencoderDC`` without attention, images in [-1, 1].

    Args:
        channels: of the images.
        size: (height, width) of the images.
        latent: channels of the latent grid.
        widths: channels at half of the size, at a quarter and so on; each at most four times and at
            least as many as the one before it, and a multiple of it.
        layers: residual blocks a level.
    """

    def __init__(
        self, channels: int, size: Sequence[int], latent: int, widths: Sequence[int], layers: int
    ) -> None:
        super().__init__()
        self.size, self.multiple = tuple(size), FACTOR ** len(widths)
        height, width = (padded(side, self.multiple) // self.multiple for side in size)
        self.grid = (latent, height, width)
        levels, blocks = (widths[0], *widths), (0, *[layers] * len(widths))
        self.vae: Any = AutoencoderDC(
            in_channels=channels,
            latent_channels=latent,
            encoder_block_types="ResBlock",
            decoder_block_types="ResBlock",
            encoder_block_out_channels=levels,
            decoder_block_out_channels=levels,
            encoder_layers_per_block=blocks,
            decoder_layers_per_block=blocks,
            encoder_qkv_multiscales=((),) * len(levels),
            decoder_qkv_multiscales=((),) * len(levels),
            downsample_block_type="conv",
            encoder_out_shortcut=False,
            decoder_in_shortcut=False,
            scaling_factor=1.0,
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, which is one for all, each (N, latent, h, w)."""
        mean = self.vae.encoder(pad_to_multiple(images, self.multiple))
        return mean, torch.full_like(mean, LOG_VARIANCE)

    def decode(self, latent: Tensor) -> Tensor:
        """Images (N, C, H, W), not clamped, of latents (N, latent, h, w) of any grid."""
        made = self.vae.decoder(latent)
        return crop_to(made, self.size) if latent.shape[1:] == self.grid else made

    @property
    def last_layer(self) -> Tensor:
        """The weight that turns features into pixels."""
        weight: Tensor = self.vae.decoder.conv_out.conv.weight
        return weight

    @torch.no_grad()
    def rescale(self, mean: Tensor, scale: Tensor) -> None:
        """Give latents of this mean and spread (latent,) mean 0 and spread 1; pictures stay."""
        last, first = self.vae.encoder.conv_out, self.vae.decoder.conv_in
        inner = first.weight.sum((2, 3)) @ mean
        first.bias.add_(inner)
        first.weight.mul_(scale.view(1, -1, 1, 1))
        last.weight.div_(scale.view(-1, 1, 1, 1))
        last.bias.sub_(mean).div_(scale)

    @torch.no_grad()
    def begin(self, images: Tensor) -> None:
        """Become the principal components of patches of images (N, C, H, W) in [-1, 1]."""
        for block in self.modules():
            if isinstance(block, ResBlock):
                block.norm.weight.zero_()
                if block.norm.bias is not None:
                    block.norm.bias.zero_()
        found: list[Components] = []
        grid = pad_to_multiple(images, self.multiple)
        for down, up in zip(self._downs(), self._ups(), strict=True):
            first = not found
            most = down.conv.out_channels - first  # a channel of the first level stays free
            parts = components(grid, most)
            _write_down(down, parts, grid.shape[1])
            _write_up(up, parts, SMALL if len(found) == 1 else 1.0)
            found.append(parts)
            grid = projected(grid, parts)
        self._write_ends(found)

    def _downs(self) -> list[Any]:
        """What halves the grid, the finest first."""
        encoder = self.vae.encoder
        return [encoder.conv_in, *(block[-1] for block in encoder.down_blocks[1:-1])]

    def _ups(self) -> list[Any]:
        """What doubles the grid, the finest first."""
        decoder = self.vae.decoder
        return [decoder.conv_out, *(block[0] for block in decoder.up_blocks[1:-1])]

    def _write_ends(self, found: Sequence[Components]) -> None:
        """Latents are the strongest components with spread 1; the last norm changes nothing."""
        last, first = self.vae.encoder.conv_out, self.vae.decoder.conv_in
        count = len(last.weight)
        std = found[-1].std[:count].clamp_min(LEAST_STD)
        one = torch.arange(len(std))
        last.weight.zero_()
        last.bias.zero_()
        last.weight[one, one, 1, 1] = 1 / std
        first.weight[: len(found[-1].basis)] = 0
        first.bias.zero_()
        first.weight[len(found[-1].basis) :].mul_(FAINT)
        first.weight[one, one, 1, 1] = std
        if len(found) > 1:
            self._steady(found[0])

    def _steady(self, parts: Components) -> None:
        """Let one channel have one height, so that the last norm is nearly a factor.

        RMSNorm divides by the root of the mean square of all channels at a pixel; beside that
        channel the components hardly change it. A shift keeps them above the rectifier's bend and
        is taken off behind it.
        """
        decoder, count = self.vae.decoder, len(parts.basis)
        up, norm, out = self._ups()[1], decoder.norm_out, decoder.conv_out.conv
        free = len(norm.weight) - 1
        rows = slice(free * CELLS, free * CELLS + CELLS)
        up.conv.weight[rows] = 0
        _cancel_repeat(up, range(rows.start, rows.stop))
        up.conv.bias[rows] = STEADY
        for block in decoder.up_blocks[1]:
            if isinstance(block, ResBlock):
                block.conv1.weight[:, free] = 0
        power = STEADY**2 + float(parts.std.square().sum()) * SMALL**2
        norm.weight.fill_(math.sqrt(power / len(norm.weight)) / SMALL)
        norm.weight[free] = 0
        norm.bias.zero_()
        norm.bias[:count] = LIFT
        out.weight[:, free] = 0
        out.bias.sub_(out.weight[:, :count, 1, 1].sum(1) * LIFT)


def components(grid: Tensor, most: int) -> Components:
    """The strongest components of squares of 2x2 cells of a grid (N, C, H, W)."""
    rows = F.pixel_unshuffle(grid, FACTOR).permute(0, 2, 3, 1).flatten(0, 2)
    mean = rows.mean(0)
    centred = (rows - mean).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))
    kept = min(most, len(values))
    basis = vectors.flip(1)[:, :kept].T.to(grid.dtype).contiguous()
    return Components(mean, basis, values.flip(0)[:kept].clamp_min(0).sqrt().to(grid.dtype))


def projected(grid: Tensor, parts: Components) -> Tensor:
    """Components (N, k, H / 2, W / 2) of a grid (N, C, H, W)."""
    halved = F.pixel_unshuffle(grid, FACTOR) - parts.mean.view(1, -1, 1, 1)
    return torch.einsum("nchw,kc->nkhw", halved, parts.basis)


def _write_down(down: Any, parts: Components, channels: int) -> None:
    """Let a halving give components; what its shortcut would add is taken off."""
    weight, bias, count = down.conv.weight, down.conv.bias, len(parts.basis)
    weight.mul_(FAINT)
    weight[:count] = 0
    bias.zero_()
    squares = parts.basis.view(count, channels, CELLS)
    for cell, (row, column) in enumerate(TAPS):
        weight[:count, :channels, row, column] = squares[:, :, cell]
    bias[:count] = -parts.basis @ parts.mean
    if down.shortcut:
        _cancel_mean(down)


def _cancel_mean(down: Any) -> None:
    """Take off the mean over groups of cells that a shortcut of a halving adds."""
    size = down.group_size
    for out in range(len(down.conv.weight)):
        for part in range(out * size, out * size + size):
            channel, cell = divmod(part, CELLS)
            row, column = TAPS[cell]
            down.conv.weight[out, channel, row, column] -= 1 / size


def _write_up(up: Any, parts: Components, scale: float) -> None:
    """Let a doubling give the squares of components, times ``scale``."""
    weight, bias, count = up.conv.weight, up.conv.bias, len(parts.basis)
    cells = parts.basis.shape[1]
    weight.mul_(FAINT)
    bias.zero_()
    weight[:cells] = 0
    weight[:cells, :count, 1, 1] = parts.basis.T * scale
    bias[:cells] = parts.mean * scale
    if up.shortcut:
        _cancel_repeat(up, range(cells))


def _cancel_repeat(up: Any, rows: range) -> None:
    """Take off the repeated channels that the shortcut of a doubling adds to some rows."""
    for row in rows:
        up.conv.weight[row, row // up.repeats, 1, 1] -= 1
