"""What diffusers' ``UNet2DModel`` is built from, checked, because files from anywhere name it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mezzotint.config import from_dict, option, parse_size, to_dict, validate
from mezzotint.errors import ConfigError
from mezzotint.storage.files import json_bytes
from mezzotint.storage.readers import parse_json

Down = Literal["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"]
Up = Literal["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"]
WHERE = "unet"


@dataclass(frozen=True)
class UNetArguments:
    """Arguments of ``UNet2DModel``, with diffusers' own defaults."""

    sample_size: tuple[int, int] = option((32, 32), "image height and width", 1, 4096)
    in_channels: int = option(3, "channels in", 1, 64)
    out_channels: int = option(3, "channels out", 1, 128)
    center_input_sample: bool = option(False, "map [0, 1] to [-1, 1] first")
    time_embedding_type: Literal["positional"] = option("positional", "how the time enters")
    time_embedding_dim: int | None = option(None, "channels of the time", 1, 65536)
    freq_shift: int = option(0, "of the time embedding", 0, 1)
    flip_sin_to_cos: bool = option(True, "cosines first")
    down_block_types: tuple[Down, ...] = option(
        ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"), "levels down"
    )
    mid_block_type: Literal["UNetMidBlock2D"] | None = option("UNetMidBlock2D", "the middle")
    up_block_types: tuple[Up, ...] = option(
        ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"), "levels up"
    )
    block_out_channels: tuple[int, ...] = option((224, 448, 672, 896), "channels", 1, 8192)
    layers_per_block: int = option(2, "residual blocks a level", 1, 32)
    mid_block_scale_factor: float = option(1.0, "of the middle's residual", 1e-3, 1e3)
    downsample_padding: int = option(1, "of strided convolutions", 0, 4)
    downsample_type: Literal["conv", "resnet"] = option("conv", "how levels shrink")
    upsample_type: Literal["conv", "resnet"] = option("conv", "how levels grow")
    dropout: float = option(0.0, "share dropped in training", 0, 1)
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = option("silu", "activation")
    attention_head_dim: int | None = option(8, "channels of a head", 1, 8192)
    norm_num_groups: int = option(32, "groups of normalisation", 1, 8192)
    attn_norm_num_groups: int | None = option(None, "the same of attention", 1, 8192)
    norm_eps: float = option(1e-5, "epsilon of normalisation", 0, 1)
    resnet_time_scale_shift: Literal["default", "scale_shift"] = option("default", "time's way in")
    add_attention: bool = option(True, "attention in the middle")
    class_embed_type: None = option(None, "labels are told by number")
    num_class_embeds: int | None = option(None, "labels, with one for none", 1, 1_000_000)
    num_train_timesteps: int | None = option(None, "unused", 1, 100_000)

    def __post_init__(self) -> None:
        """Check every argument and that the levels match."""
        object.__setattr__(self, "sample_size", parse_size(self.sample_size))
        validate(self)
        if self.class_embed_type is not None:
            raise ConfigError("labels in another form than numbers", WHERE, "class_embed_type=null")
        lengths = {len(self.down_block_types), len(self.up_block_types)}
        if lengths != {len(self.block_out_channels)} or len(self.block_out_channels) > 12:
            fix = "as many down_block_types and up_block_types as block_out_channels, 12 at most"
            raise ConfigError("the levels of the U-Net do not match", WHERE, fix)

    @property
    def multiple(self) -> int:
        """What both sides of an image have to be a multiple of."""
        return int(2 ** (len(self.block_out_channels) - 1))


def usual_arguments(
    channels: tuple[int, int],
    size: Sequence[int],
    widths: Sequence[int],
    blocks: int,
    attention: int,
    kinds: int,
) -> UNetArguments:
    """The network of our options ``widths``, ``blocks`` and ``attention``.

    Args:
        channels: in and out.
        size: image (height, width), already a multiple of 2 ** (levels - 1).
        widths: channels of each level.
        blocks: residual blocks a level.
        attention: how many of the deepest levels have attention.
        kinds: labels; 0 for none.
    """
    levels = len(widths)
    attends = [levels - level <= attention for level in range(levels)]
    return UNetArguments(
        sample_size=(size[0], size[1]),
        in_channels=channels[0],
        out_channels=channels[1],
        block_out_channels=tuple(widths),
        down_block_types=tuple("AttnDownBlock2D" if deep else "DownBlock2D" for deep in attends),
        up_block_types=tuple("AttnUpBlock2D" if deep else "UpBlock2D" for deep in attends[::-1]),
        layers_per_block=blocks,
        norm_num_groups=min(8, *widths),
        num_class_embeds=kinds + 1 if kinds else None,
    )


def arguments_from(values: Any, where: str) -> UNetArguments:
    """The arguments in a ``unet/config.json``; keys that begin with an underscore are notes.

    Raises:
        ConfigError: an argument is unknown, of another kind or out of range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError("not a configuration of a UNet2DModel", where, "use another copy of it")
    plain = {str(key): value for key, value in values.items() if not str(key).startswith("_")}
    return from_dict(UNetArguments, plain, where)


def arguments_of(text: str) -> UNetArguments:
    """The arguments in the option ``unet``, as :func:`text_of` wrote them."""
    return arguments_from(parse_json(text, Path(WHERE)), WHERE)


def text_of(arguments: UNetArguments) -> str:
    """Arguments as the text of the option ``unet``."""
    return json_bytes(to_dict(arguments)).decode()
