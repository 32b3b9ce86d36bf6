"""diffusers' ``AutoencoderKL`` for images of any size."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from mezzotint.nets.layers import crop_to, norm_groups, pad_to_multiple, padded


class DiffusersVAE(nn.Module):
    """Encoder and decoder of latent diffusion (2112.10752, appendix E), images in [-1, 1].

    Args:
        channels: of the images.
        size: (height, width) of the images.
        latent: channels of the latent grid.
        widths: channels of each level, the finest first; the grid halves between levels.
        layers: residual blocks a level.
        attention: self-attention at the coarsest level.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        latent: int,
        widths: Sequence[int],
        layers: int = 1,
        attention: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.multiple = tuple(size), 2 ** (len(widths) - 1)
        height, width = (padded(side, self.multiple) // self.multiple for side in size)
        self.grid = (latent, height, width)
        self.vae: Any = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            latent_channels=latent,
            norm_num_groups=norm_groups(widths),
            sample_size=padded(max(size), self.multiple),
            mid_block_add_attention=attention,
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and unclamped log-variance of q(z | x), each (N, latent, h, w)."""
        whole = pad_to_multiple(images, self.multiple)
        mean, log_variance = self.vae.quant_conv(self.vae.encoder(whole)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, latent: Tensor) -> Tensor:
        """Images (N, C, H, W), not clamped, of latents (N, latent, h, w) of any grid."""
        made = self.vae.decoder(self.vae.post_quant_conv(latent))
        return crop_to(made, self.size) if latent.shape[1:] == self.grid else made

    def begin(self, images: Tensor) -> None:
        """Begin with the weights as they were drawn, whatever the images."""

    @property
    def last_layer(self) -> Tensor:
        """The weight that turns features into pixels."""
        weight: Tensor = self.vae.decoder.conv_out.weight
        return weight

    @torch.no_grad()
    def rescale(self, mean: Tensor, scale: Tensor) -> None:
        """Give latents of this mean and spread (latent,) mean 0 and spread 1; pictures stay."""
        before, after, count = self.vae.quant_conv, self.vae.post_quant_conv, len(mean)
        after.bias.add_(after.weight.flatten(1) @ mean)
        after.weight.mul_(scale.view(1, -1, 1, 1))
        before.weight[:count].div_(scale.view(-1, 1, 1, 1))
        before.bias[:count].sub_(mean).div_(scale)
        before.bias[count:].sub_(2 * scale.log())  # of the variance
