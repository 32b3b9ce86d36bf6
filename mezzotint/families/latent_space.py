"""Between pixels and the latents of a trained autoencoder: the one place that scales them."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mezzotint.errors import UsageError
from mezzotint.families.base import chunked
from mezzotint.families.kl_vae import KLVAE

MOST_MEASURED = 1000


class LatentSpace:
    """An autoencoder that stays as it is, as a way into latents of spread 1 and out of them.

    Args:
        coder: the autoencoder.
    """

    def __init__(self, coder: KLVAE) -> None:
        self.coder = coder

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, h, w) of an image's latents."""
        return self.coder.latent_shape

    @torch.no_grad()
    def standardise(self, images: Tensor) -> None:
        """Let latents of images (N, C, H, W) in [-1, 1] have mean 0 and spread 1 a channel.

        The affine map goes into the autoencoder's convolutions before and after the latents, so
        that its pictures stay the same and the scale that a pipeline has to know is 1.
        """
        seen = images[:: math.ceil(len(images) / MOST_MEASURED)]
        self.coder.standardise(self.coder.encode(seen))

    @torch.no_grad()
    def latents(self, images: Tensor) -> Tensor:
        """Scaled posterior means (N, latent, h, w) of images in [-1, 1], float32."""
        with torch.autocast(images.device.type, enabled=False):  # halves overflow in its sums
            means = chunked(
                lambda part: self.coder.posterior(part.float())[0], self.coder.inward(images)
            )
        return means * self.coder.scaling_factor

    def pictures(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] on the CPU of scaled latents."""
        return self.coder.decode(latents.float() / self.coder.scaling_factor).cpu()

    def start(self, image: Tensor) -> Tensor:
        """Latents of pictures (1 or n, C, H, W) to start from.

        Raises:
            UsageError: they have another shape.
        """
        wanted: Any = self.coder.shape
        if image.shape[1:] != wanted:
            what = f"image has the shape {tuple(image.shape)}, not (count, {wanted})"
            raise UsageError(what, where="image")
        return self.coder.encode(image) * self.coder.scaling_factor

    def cells(self, mask: Tensor) -> Tensor:
        """The cells of the latent grid in which any pixel of a mask (1 or n, 1, H, W) is anew.

        Raises:
            UsageError: the mask has another shape.
        """
        if mask.shape[1:] != (1, *self.coder.shape[1:]):
            raise UsageError(f"mask has the shape {tuple(mask.shape)}", where="mask")
        return F.adaptive_max_pool2d(mask.to(self.coder.device).float(), self.shape[1:])


def patched(pictures: Tensor, image: Tensor | None, mask: Tensor | None) -> Tensor:
    """Pictures (n, C, H, W) with what is not under the mask taken from the image as it is."""
    if image is None or mask is None:
        return pictures
    return torch.where(mask.cpu() > 0.5, pictures, image.cpu())
