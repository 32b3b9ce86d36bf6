"""CLIP's text encoder and the U-Net that attends to it, real classes of transformers and diffusers.

Together they stand where a network with labels stands: a row of token numbers is the label.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mezzotint.errors import MissingExtraError
from mezzotint.nets.layers import norm_groups

HEAD, TEXT_HEAD = 32, 16  # channels; narrower ones cost a CPU more time for the same products
MOST_HEADS = 8


class Reads(Protocol):
    """A text encoder that stays as it is and is no part of the model."""

    @property
    def width(self) -> int:
        """Channels of a vector."""
        ...

    def vectors(self, tokens: Tensor) -> Tensor:
        """Vectors (N, length, width) of numbers (N, length)."""
        ...


class TextUNet(nn.Module):
    """A cross-attention U-Net (2112.10752, section 3.3) told by a text encoder (2103.00020).

    Args:
        channels: of the latents.
        size: (height, width) of the latents.
        empty: token numbers of the empty text, start, end and padding: the unconditional one.
        widths: channels of each level, the finest first; all but the last attend to the text.
        blocks: residual blocks a level.
        text_width: channels of the text.
        text_layers: of the text encoder.
        reader: reads in place of a text encoder that learns; a learnt projection brings its vectors
            to ``text_width``.

    Shapes: noisy (N, channels, h, w), time (N,), told (N, length) int64 token numbers,
    (N, length, text_width or the reader's) vectors of :meth:`words`, either with rows of -1 for the
    empty text, or None -> as noisy.

    Raises:
        MissingExtraError: ``transformers`` is not installed.
    """

    empty: Tensor

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        empty: Sequence[int],
        widths: Sequence[int],
        blocks: int = 1,
        text_width: int = 64,
        text_layers: int = 2,
        reader: Reads | None = None,
    ) -> None:
        super().__init__()
        self.reader = reader
        self.text: Any = None
        if reader is None:
            self.text = _text_encoder(empty, text_width, text_layers)
        projected = None if reader is None else reader.width
        self.unet: Any = _unet(channels, size, widths, blocks, text_width, projected)
        self.register_buffer("empty", torch.tensor(list(empty)), persistent=False)

    def words(self, tokens: Tensor) -> Tensor:
        """The text encoder's vectors (N, length, its width)."""
        numbers = torch.where(tokens < 0, self.empty, tokens)
        if self.reader is not None:
            return self.reader.vectors(numbers)
        found: Tensor = self.text(numbers)[0]
        return found

    def _complete(self, words: Tensor) -> Tensor:
        """Vectors of the empty text in rows of -1, which only vectors known beforehand have."""
        if self.reader is None:
            return words
        hidden = (words == -1).flatten(1).all(1)
        return torch.where(hidden[:, None, None], self.words(self.empty[None]), words)

    def forward(self, noisy: Tensor, time: Tensor, told: Tensor | None = None) -> Tensor:
        """What the U-Net predicts for each latent."""
        rows = self.empty.expand(len(noisy), -1) if told is None else told
        words = self._complete(rows) if rows.is_floating_point() else self.words(rows)
        found: Tensor = self.unet(noisy, time, words.to(noisy.dtype), return_dict=False)[0]
        return found


def _text_encoder(empty: Sequence[int], width: int, layers: int) -> Any:
    """A ``CLIPTextModel`` for a vocabulary whose last number is the end."""
    try:
        from transformers import CLIPTextConfig, CLIPTextModel
    except ImportError as error:
        raise MissingExtraError("transformers", "text") from error
    start, end = empty[0], empty[-1]
    config = CLIPTextConfig(
        vocab_size=end + 1,
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=heads(width, TEXT_HEAD),
        max_position_embeddings=len(empty),
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
    )
    return CLIPTextModel(config)


def _unet(
    channels: int,
    size: Sequence[int],
    widths: Sequence[int],
    blocks: int,
    text_width: int,
    projected: int | None,
) -> Any:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    attending = len(widths) - 1
    down = ("CrossAttnDownBlock2D",) * attending + ("DownBlock2D",)
    return UNet2DConditionModel(
        sample_size=size[0] if size[0] == size[1] else tuple(size),
        in_channels=channels,
        out_channels=channels,
        down_block_types=down,
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * attending,
        block_out_channels=tuple(widths),
        layers_per_block=blocks,
        cross_attention_dim=text_width,
        encoder_hid_dim=projected,
        encoder_hid_dim_type="text_proj" if projected else None,
        attention_head_dim=tuple(heads(width, HEAD) for width in widths),
        norm_num_groups=norm_groups(widths),
    )


def heads(width: int, least: int) -> int:
    """As many heads of ``least`` channels or more as divide the width, 8 at the most."""
    fitting = (n for n in range(MOST_HEADS, 0, -1) if width % n == 0 and width // n >= least)
    return next(fitting, 1)
