"""diffusers' ``UNet2DModel`` where our U-Net stands: same arguments, same meaning."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from mezzotint.nets.layers import crop_to, pad_to_multiple, padded


class DiffusersUNet(nn.Module):
    """A ``UNet2DModel`` that takes images of any size and labels of which -1 means none.

    Args:
        channels: of the images.
        size: image (height, width).
        widths: channels of each level.
        blocks: residual blocks a level.
        attention: how many of the deepest levels have attention.
        classes: labels; 0 for none.

    Shapes: noisy (N, channels, H, W), time (N,), label (N,) int64 or None -> (N, channels, H, W).
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        widths: Sequence[int],
        blocks: int = 2,
        attention: int = 1,
        classes: int = 0,
    ) -> None:
        super().__init__()
        levels = len(widths)
        self.multiple, self.classes = 2 ** (levels - 1), classes
        attends = [levels - level <= attention for level in range(levels)]
        down = tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends)
        up = tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends))
        self.unet: Any = UNet2DModel(
            sample_size=tuple(padded(side, self.multiple) for side in size),
            in_channels=channels,
            out_channels=channels,
            block_out_channels=tuple(widths),
            down_block_types=down,
            up_block_types=up,
            layers_per_block=blocks,
            norm_num_groups=min(8, *widths),
            num_class_embeds=classes + 1 if classes else None,
        )

    def forward(self, noisy: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """What the network predicts for each image."""
        rows = None
        if self.classes:
            none = torch.full(time.shape, -1, device=time.device) if label is None else label
            rows = torch.where(none < 0, self.classes, none)
        whole = pad_to_multiple(noisy, self.multiple)
        made = self.unet(whole, time, class_labels=rows, return_dict=False)[0]
        return crop_to(made, noisy.shape[-2:])
