"""Autoencoders, plain and denoising: an image through a narrow latent and back.

Inside the family pixels are in [0, 1]; the border to the outside is [-1, 1].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mezzotint.config import option
from mezzotint.corruptions import CORRUPTIONS, corrupt
from mezzotint.errors import ConfigError, nearest
from mezzotint.families.base import (
    Batch,
    Family,
    Form,
    Losses,
    Player,
    chunked,
    from_unit,
    to_unit,
)
from mezzotint.families.coding import (
    CoderConfig,
    build_decoder,
    build_encoder,
    encoder_stages,
    latent_shape,
    start_from,
    suited,
)
from mezzotint.seeds import Draws
from mezzotint.similarity import absolute_error, psnr, squared_error, ssim


@dataclass(frozen=True)
class AutoencoderConfig(CoderConfig):
    """Options of an autoencoder."""

    loss: Literal["mse", "l1", "ssim"] = option("mse", "what the reconstruction minimises")
    corruption: tuple[str, ...] = option((), "damage to repair: " + ", ".join(CORRUPTIONS))
    noise: float = option(0.2, "strength of the damage; sigma of gaussian", low=0, high=4)

    def __post_init__(self) -> None:
        """Check every option."""
        super().__post_init__()
        for name in self.corruption:
            if name not in CORRUPTIONS:
                raise ConfigError(
                    f"there is no corruption '{name}'", fix=nearest(name, CORRUPTIONS)
                )


def dissimilarity(first: Tensor, second: Tensor) -> Tensor:
    """1 - SSIM per image: 0 for equal images."""
    return 1 - ssim(first, second)


RECONSTRUCTION_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": squared_error,
    "l1": absolute_error,
    "ssim": dissimilarity,
}

_FAST = {"optimizer": "muon", "lr": 7e-3, "decay": "linear", "batch": 64}
_DEEP = _FAST | {"blocks": 1, "norm": "group", "activation": "silu"}
_GRID = _DEEP | {"widths": (64, 128), "spatial": True}
_DAMAGE = ("gaussian", "masking", "salt-and-pepper", "blur", "patches")
PRESETS: dict[str, dict[str, Any]] = {
    "default": _FAST | {"latent": 64},
    "classic": {"widths": (32, 64, 128), "latent": 32, "size": 32, "lr": 1e-3},
    "fast": _FAST | {"widths": (32, 64, 128), "latent": 32, "size": 32},
    "small": _FAST | {"widths": (16, 32, 64), "latent": 16},
    "deep": _DEEP | {"latent": 128},
    "spatial": _GRID | {"latent": 8},
    "denoising": _FAST
    | {"widths": (32, 64), "blocks": 1, "spatial": True, "latent": 16}
    | {"corruption": ("gaussian",), "noise": 0.2},
    "repair": _DEEP | {"latent": 128, "noise": 0.3, "corruption": _DAMAGE},
    "detector": _DEEP
    | {"widths": (32, 64), "spatial": True, "latent": 16, "batch": 32}
    | {"corruption": ("defects",), "noise": 0.6},
}


class Autoencoder(Family):
    """Encoder and decoder trained to give back the image (Hinton & Salakhutdinov 2006).

    With a corruption it sees damaged images and is compared with the clean ones (Vincent et al.
    2010). It has no distribution over latents, so it does not sample.

    Args:
        config: options, or give them as keywords.
        encoder: a network of your own, (N, C, H, W) -> latent.
        decoder: its partner, latent -> (N, C, H, W) in [0, 1].
    """

    kind: ClassVar[str] = "autoencoder"
    config_class: ClassVar[type] = AutoencoderConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    started: Tensor

    def __init__(
        self,
        config: AutoencoderConfig | None = None,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        **options: Any,
    ) -> None:
        super().__init__(config, **options)
        self.encoder = encoder or build_encoder(self.config, self.config.latent)
        self.decoder = decoder or build_decoder(self.config, "sigmoid")
        if self.config.network == "principal":
            self.register_buffer("started", torch.zeros(()))

    @classmethod
    def suited(cls, form: Form, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Larger images get a network and a latent to match."""
        return suited(form, given)

    @property
    def prepared(self) -> bool:
        """Whether it has seen what the images have in common, if it is to."""
        return self.config.network != "principal" or bool(self.started)

    def prepare(self, images: Tensor, labels: Tensor | None) -> None:
        """Begin with the principal components of images (N, C, H, W) in [-1, 1]."""
        start_from(to_unit(images), self.encoder, self.decoder, logits=False)
        self.started.fill_(1)

    def players(self) -> dict[str, Player]:
        """One player: encoder and decoder together."""
        return {"autoencoder": Player(self, self.loss, recordable=True)}

    def loss(self, batch: Batch) -> Losses:
        """Reconstruction error of the clean images, mean over the batch."""
        clean = to_unit(batch.images)
        seen = corrupt(clean, self.config.corruption, self.config.noise, batch.noise)
        restored = self.decoder(self.encoder(seen))
        loss = RECONSTRUCTION_LOSSES[self.config.loss](restored, clean).mean()
        return {"loss": loss, "psnr": psnr(restored.detach(), clean).mean()}

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """Latents of images in [-1, 1]: (N, latent) or (N, latent, h, w)."""
        return chunked(self.encoder, to_unit(self.inward(images.to(self.device))))

    @torch.inference_mode()
    def stages(self, images: Tensor) -> list[Tensor]:
        """The encoder's maps of images in [-1, 1]; see :func:`families.coding.encoder_stages`."""
        return encoder_stages(self.encoder, to_unit(self.inward(images.to(self.device))))

    def embed(self, images: Tensor) -> Tensor:
        """Latents as vectors (N, d)."""
        return self.encode(images).flatten(1)

    @torch.inference_mode()
    def decode(self, latent: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of latents, flat or in their own shape."""
        shaped = latent.to(self.device).view(-1, *latent_shape(self.config))
        return self.outward(from_unit(chunked(self.decoder, shaped)))

    def reconstruct(self, images: Tensor) -> Tensor:
        """The network's version of images in [-1, 1], same shape and range."""
        return self.decode(self.encode(images))

    def corrupt(self, images: Tensor, draws: Draws, strength: float | None = None) -> Tensor:
        """Images in [-1, 1] damaged as in training; Gaussian noise for a plain autoencoder."""
        names = self.config.corruption or ("gaussian",)
        amount = self.config.noise if strength is None else strength
        damaged = corrupt(to_unit(self.inward(images)), names, amount, draws)
        return self.outward(from_unit(damaged))
