"""Autoencoders, plain and denoising: an image through a narrow latent and back.

Inside the family pixels are in [0, 1]; the border to the outside is [-1, 1].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mezzotint.augmentations import cropped
from mezzotint.config import option
from mezzotint.corruptions import CORRUPTIONS, corrupt
from mezzotint.errors import ConfigError, UsageError, nearest
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
    stage_widths,
    start_from,
    suited,
)
from mezzotint.nets.coders import Marker
from mezzotint.nets.layers import crop_to
from mezzotint.nets.turning import Turner, mean_surprise, small_square, turning_loss
from mezzotint.seeds import Draws
from mezzotint.similarity import absolute_error, psnr, squared_error, ssim


@dataclass(frozen=True)
class AutoencoderConfig(CoderConfig):
    """Options of an autoencoder."""

    loss: Literal["mse", "l1", "ssim"] = option("mse", "what the reconstruction minimises")
    corruption: tuple[str, ...] = option((), "damage to repair: " + ", ".join(CORRUPTIONS))
    noise: float = option(0.2, "strength of the damage; sigma of gaussian", low=0, high=4)
    marks: float = option(0.0, "weight of learning where the damage is; 0: not learnt", 0, 10)
    turns: float = option(0.0, "weight of learning which way an image was turned; 0: not", 0, 10)
    crop: int = option(0, "side of the random crops it trains on; 0: whole images", 0, 1024)

    def __post_init__(self) -> None:
        """Check every option."""
        super().__post_init__()
        for name in self.corruption:
            if name not in CORRUPTIONS:
                raise ConfigError(
                    f"there is no corruption '{name}'", fix=nearest(name, CORRUPTIONS)
                )
        self._check_crop()
        if self.marks and (not self.corruption or self.network != "conv"):
            raise ConfigError(
                "marks are learnt from damage, by a convolutional encoder",
                where="marks",
                fix="set corruption=defects network=conv, or marks=0",
            )

    def _check_crop(self) -> None:
        if self.crop and (self.network != "conv" or not self.spatial):
            raise ConfigError(
                "only a convolutional network with a spatial latent can train on crops",
                where="crop",
                fix="set spatial=true, or crop=0",
            )


def dissimilarity(first: Tensor, second: Tensor) -> Tensor:
    """1 - SSIM per image: 0 for equal images."""
    return 1 - ssim(first, second)


RECONSTRUCTION_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": squared_error,
    "l1": absolute_error,
    "ssim": dissimilarity,
}

VISIBLE = 4 / 255  # change of a pixel from which on it counts as damaged

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
    | {"corruption": ("defects", "flaws"), "noise": 0.6, "crop": 64, "marks": 0.1, "turns": 0.05},
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
        self.marker = Marker(stage_widths(self.config)) if self.config.marks else None
        self.turner = Turner(self.config.channels) if self.config.turns else None
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
        whole = to_unit(batch.images)
        losses = self._rebuilding_loss(whole, batch.noise)
        if self.turner is not None:
            unsure = turning_loss(self.turner, whole, batch.noise.rand(2))
            losses["loss"] = losses["loss"] + self.config.turns * unsure
            losses["unsure"] = unsure.detach()
        return losses

    def _rebuilding_loss(self, clean: Tensor, noise: Draws) -> Losses:
        clean = cropped(clean, self.config.crop, noise.rand(2)) if self.config.crop else clean
        seen = corrupt(clean, self.config.corruption, self.config.noise, noise)
        if self.marker is None:
            restored = crop_to(self.decoder(self.encoder(seen)), clean.shape[-2:])
            loss = RECONSTRUCTION_LOSSES[self.config.loss](restored, clean).mean()
            return {"loss": loss, "psnr": psnr(restored.detach(), clean).mean()}
        return self._marking_loss(clean, seen)

    def _marking_loss(self, clean: Tensor, seen: Tensor) -> Losses:
        """The reconstruction's error and the cross-entropy of where the damage is (2108.07610)."""
        stages = encoder_stages(self.encoder, seen)
        restored = crop_to(self.decoder(self.encoder.head(stages[-1])), clean.shape[-2:])  # type: ignore[operator]
        damaged = (seen - clean).abs().amax(1) > VISIBLE
        told = self.marker(stages, clean.shape[-2:])  # type: ignore[misc]
        missed = F.binary_cross_entropy_with_logits(told, damaged.to(told.dtype))
        error = RECONSTRUCTION_LOSSES[self.config.loss](restored, clean).mean()
        found = {"psnr": psnr(restored.detach(), clean).mean(), "missed": missed.detach()}
        return {"loss": error + self.config.marks * missed, **found}

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """Latents of images in [-1, 1]: (N, latent) or (N, latent, h, w)."""
        return chunked(self.encoder, to_unit(self.inward(images.to(self.device))))

    @torch.inference_mode()
    def stages(self, images: Tensor) -> list[Tensor]:
        """The encoder's maps of images in [-1, 1]; see :func:`families.coding.encoder_stages`."""
        return encoder_stages(self.encoder, to_unit(self.inward(images.to(self.device))))

    @property
    def marking(self) -> bool:
        """Whether it has learnt where damage is."""
        return self.marker is not None

    @torch.inference_mode()
    def mark(self, images: Tensor) -> Tensor:
        """Logits (N, H, W) of damage at each pixel of images in [-1, 1].

        Raises:
            UsageError: it has not learnt to.
        """
        marker = self.marker
        if marker is None:
            raise UsageError("this model has not learnt where damage is", "marks", "set marks=0.1")
        size = images.shape[-2:]
        clean = to_unit(images.to(self.device))
        return chunked(lambda part: marker(encoder_stages(self.encoder, part), size), clean)

    @property
    def turning(self) -> bool:
        """Whether it has learnt which way images are turned."""
        return self.turner is not None

    @torch.inference_mode()
    def surprise(self, images: Tensor) -> Tensor:
        """How unsure it is of turns and moves of images (N, C, H, W) in [-1, 1]: (N,) log nats.

        Raises:
            UsageError: it has not learnt to.
        """
        turner = self.turner
        if turner is None:
            raise UsageError("this model has not learnt turns", "turns", "set turns=0.1")

        square = small_square(to_unit(images.to(self.device)))
        return chunked(lambda part: mean_surprise(turner, part), square)

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
