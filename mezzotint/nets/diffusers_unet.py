"""diffusers' ``UNet2DModel`` where our U-Net stands: same arguments, same meaning."""

import dataclasses
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from mezzotint.errors import ConfigError
from mezzotint.nets.layers import crop_to, pad_to_multiple
from mezzotint.nets.unet_arguments import UNetArguments


class DiffusersUNet(nn.Module):
    """A ``UNet2DModel`` that takes images of any size and labels of which -1 means none.

    Args:
        arguments: of the ``UNet2DModel``.

    Shapes: noisy (N, channels, H, W), time (N,), label (N,) int64 or None -> (N, channels, H, W).

    Raises:
        ConfigError: diffusers cannot build it of these arguments.
    """

    def __init__(self, arguments: UNetArguments) -> None:
        super().__init__()
        self.multiple = arguments.multiple
        self.classes = (arguments.num_class_embeds or 1) - 1
        given = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(arguments)}
        try:
            self.unet: Any = UNet2DModel(**given)
        except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
            reason = str(error).partition("\n")[0][:200]
            raise ConfigError(
                f"diffusers builds no such UNet2DModel: {reason}", "unet", "change its arguments"
            ) from error

    def forward(self, noisy: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """What the network predicts for each image."""
        rows = None
        if self.classes:
            none = torch.full(time.shape, -1, device=time.device) if label is None else label
            rows = torch.where(none < 0, self.classes, none)
        whole = pad_to_multiple(noisy, self.multiple)
        made = self.unet(whole, time, class_labels=rows, return_dict=False)[0]
        return crop_to(made, noisy.shape[-2:])
