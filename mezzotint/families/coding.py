"""Encoder and decoder as options: what the families with a latent share."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from mezzotint.config import option, parse_size, validate
from mezzotint.errors import ConfigError
from mezzotint.nets.coders import (
    ConvDecoder,
    ConvEncoder,
    MLPDecoder,
    MLPEncoder,
    default_widths,
    grid_of,
)
from mezzotint.nets.layers import Activation, Norm


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
    network: Literal["conv", "mlp"] = option("conv", "kind of encoder and decoder")
    widths: tuple[int, ...] = option((), "channels of each stage; empty: by size", 1, 8192)
    blocks: int = option(0, "residual blocks a stage", low=0, high=16)
    norm: Norm = option("none", "normalisation")
    activation: Activation = option("relu", "activation")

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "size", parse_size(self.size))
        validate(self)
        if self.network == "conv" and 2 ** len(self.widths) > 2 * max(self.size):
            raise ConfigError(
                f"{len(self.widths)} stages halve an image of {max(self.size)} pixels too often",
                where="widths",
                fix=f"give {max(self.size).bit_length()} widths at the most",
            )


def stage_widths(config: CoderConfig) -> tuple[int, ...]:
    """The configured stage widths, or those that fit the image size."""
    return tuple(config.widths) or default_widths(config.size)


def latent_shape(config: CoderConfig) -> tuple[int, ...]:
    """Shape of one image's latent."""
    if not config.spatial or config.network == "mlp":
        return (config.latent,)
    return (config.latent, *grid_of(config.size, len(stage_widths(config))))


def build_encoder(config: CoderConfig, out: int) -> nn.Module:
    """The encoder a configuration describes, giving ``out`` numbers (or channels)."""
    widths = stage_widths(config)
    if config.network == "mlp":
        return MLPEncoder(config.channels, config.size, widths, out, config.activation)
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


def encoder_stages(encoder: nn.Module, clean: Tensor) -> list[Tensor]:
    """Maps (N, d, h, w) of each stage for pixels in [0, 1]; none of an encoder without stages."""
    return encoder.stages(clean) if isinstance(encoder, ConvEncoder) else []


def build_decoder(config: CoderConfig, out_activation: str) -> nn.Module:
    """The decoder a configuration describes."""
    common = (config.channels, config.size, stage_widths(config), config.latent)
    if config.network == "mlp":
        return MLPDecoder(*common, config.activation, out_activation)
    return ConvDecoder(
        *common,
        spatial=config.spatial,
        norm=config.norm,
        activation=config.activation,
        blocks=config.blocks,
        out_activation=out_activation,
    )
