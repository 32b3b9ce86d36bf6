"""Encoder and decoder as options: what the families with a latent share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mezzotint.config import option, parse_size, validate
from mezzotint.errors import ConfigError
from mezzotint.families.base import Form
from mezzotint.nets.coders import (
    ConvDecoder,
    ConvEncoder,
    MLPDecoder,
    MLPEncoder,
    default_widths,
    grid_of,
)
from mezzotint.nets.layers import Activation, Norm
from mezzotint.nets.principal import WIDTHS, PrincipalDecoder, PrincipalEncoder


@dataclass(frozen=True)
class CoderConfig:
    """Options of an encoder and its decoder."""

    size: tuple[int, int] = option((32, 32), "image height and width", low=8, high=1024)
    channels: Literal[1, 3, 4] = option(1, "image channels: grey, RGB or RGBA")
    alpha: Literal["straight", "premultiplied"] = option(
        "straight", "RGBA inside the model: colour as it is, or times alpha (new runs)"
    )
    latent: int = option(32, "numbers in a flat latent, channels of a spatial one", 1, 65536)
    spatial: bool = option(False, "keep the latent a grid instead of a vector")
    network: Literal["conv", "mlp", "principal"] = option(
        "conv", "kind of encoder and decoder; principal: principal components and convolutions"
    )
    widths: tuple[int, ...] = option((), "channels of each stage; empty: by size", 1, 8192)
    blocks: int = option(0, "residual blocks a stage", low=0, high=16)
    norm: Norm = option("none", "normalisation")
    activation: Activation = option("relu", "activation")

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "size", parse_size(self.size))
        validate(self)
        if self.network == "principal" and self.spatial:
            what = "principal components have no places for a latent that is a grid"
            raise ConfigError(what, where="spatial", fix="network=conv, or spatial=false")
        if self.network == "conv" and 2 ** len(self.widths) > 2 * max(self.size):
            raise ConfigError(
                f"{len(self.widths)} stages halve an image of {max(self.size)} pixels too often",
                where="widths",
                fix=f"give {max(self.size).bit_length()} widths at the most",
            )


def stage_widths(config: CoderConfig) -> tuple[int, ...]:
    """The configured stage widths, or those that fit the image size."""
    fitting = WIDTHS if config.network == "principal" else default_widths(config.size)
    return tuple(config.widths) or fitting


FROM, FEW_AT_A_TIME = 40, 32
FEW, MOVED = 1000, 1 / 16  # images below which they are moved, and how far at the most
LATENTS = {56: 96, 80: 128, 112: 192}
LARGEST_LATENT = 256


def suited_latent(side: int) -> int:
    """Numbers of a code by the longer side of the images: 128 at 64 px, 256 from 128 px on."""
    return next((count for most, count in LATENTS.items() if side <= most), LARGEST_LATENT)


def suited(form: Form, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a new default run by the form of its images; none for small ones.

    Args:
        form: of the images.
        given: options somebody chose; of a network of theirs nothing is decided here.
    """
    side = max(form.size)
    if side < FROM or given.keys() & {"network", "widths", "spatial", "blocks", "norm"}:
        return {}
    found = {"network": "principal", "latent": suited_latent(side), "batch": FEW_AT_A_TIME}
    return found | {"lr": 5e-3, "jitter": MOVED if form.images < FEW else 0.0}


def latent_shape(config: CoderConfig) -> tuple[int, ...]:
    """Shape of one image's latent."""
    if not config.spatial or config.network != "conv":
        return (config.latent,)
    return (config.latent, *grid_of(config.size, len(stage_widths(config))))


def build_encoder(config: CoderConfig, out: int) -> nn.Module:
    """The encoder a configuration describes, giving ``out`` numbers (or channels)."""
    widths = stage_widths(config)
    if config.network == "mlp":
        return MLPEncoder(config.channels, config.size, widths, out, config.activation)
    if config.network == "principal":
        spread = out > config.latent
        return PrincipalEncoder(config.channels, config.size, widths, config.latent, spread)
    return ConvEncoder(
        config.channels,
        config.size,
        widths,
        out,
        spatial=config.spatial,
        norm=config.norm,
        activation=config.activation,
        blocks=config.blocks,
    )


@torch.no_grad()
def start_from(images: Tensor, encoder: nn.Module, decoder: nn.Module, logits: bool) -> None:
    """Let networks that have not been trained begin with what images have in common.

    Those with a linear path get its axes; of others the last layer's bias becomes the mean colour,
    or the mean picture where it has a number a pixel.

    Args:
        images: (N, C, H, W) in [0, 1].
        encoder, decoder: as :func:`build_encoder` and :func:`build_decoder` make them.
        logits: the decoder gives logits.
    """
    if isinstance(encoder, PrincipalEncoder) and isinstance(decoder, PrincipalDecoder):
        encoder.linear.fit(images)
        decoder.linear.load_state_dict(encoder.linear.state_dict())
        return
    last = [part for part in decoder.modules() if isinstance(part, _LAST)][-1:]
    for layer in last:
        mean = images.mean(0)
        if layer.bias is not None and len(layer.bias) == len(mean):
            mean = mean.mean((1, 2))
        if layer.bias is not None and layer.bias.numel() == mean.numel():
            raw = torch.logit(mean.clamp(0.01, 0.99)) if logits else mean
            layer.bias.copy_(raw.flatten())


_LAST = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def encoder_stages(encoder: nn.Module, clean: Tensor) -> list[Tensor]:
    """Maps (N, d, h, w) of each stage for pixels in [0, 1]; none of an encoder without stages."""
    return encoder.stages(clean) if isinstance(encoder, ConvEncoder | PrincipalEncoder) else []


def build_decoder(config: CoderConfig, out_activation: str) -> nn.Module:
    """The decoder a configuration describes."""
    common = (config.channels, config.size, stage_widths(config), config.latent)
    if config.network == "mlp":
        return MLPDecoder(*common, config.activation, out_activation)
    if config.network == "principal":
        return PrincipalDecoder(*common)
    return ConvDecoder(
        *common,
        spatial=config.spatial,
        norm=config.norm,
        activation=config.activation,
        blocks=config.blocks,
        out_activation=out_activation,
    )
