"""EfficientNet-Lite0, evaluation only: MBConv blocks without squeeze-and-excitation, ReLU6.

Tan & Le 2019 (1905.11946, table 1) with the changes of the Lite family: no squeeze-and-excitation,
ReLU6 for swish, stem and head of fixed width. Names of the parameters are those of the published
PyTorch weights.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

EPS = 1e-3
WIDTH = 1280


class Stage(NamedTuple):
    """Blocks of one resolution."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    inputs: int
    outputs: int


STAGES = (
    Stage(1, 3, 1, 1, 32, 16),
    Stage(2, 3, 2, 6, 16, 24),
    Stage(2, 5, 2, 6, 24, 40),
    Stage(3, 3, 2, 6, 40, 80),
    Stage(3, 5, 1, 6, 80, 112),
    Stage(4, 5, 2, 6, 112, 192),
    Stage(1, 3, 1, 6, 192, 320),
)


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: the odd pixel goes right and below."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        missing = [
            max((-(-side // stride) - 1) * stride + kernel - side, 0)
            for side, stride, kernel in zip(
                images.shape[-2:], self.stride, self.kernel_size, strict=True
            )
        ]
        top, left = missing[0] // 2, missing[1] // 2
        padded = F.pad(images, (left, missing[1] - left, top, missing[0] - top))
        return super().forward(padded)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=EPS)


class Block(nn.Module):
    """Widen, filter each channel, narrow; with a shortcut where the shape stays."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        inner = stage.inputs * stage.expand
        self.wide = stage.expand > 1
        if self.wide:
            self._expand_conv = nn.Conv2d(stage.inputs, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = SameConv(
            inner, inner, stage.kernel, stage.stride, groups=inner, bias=False
        )
        self._bn1 = _norm(inner)
        self._project_conv = nn.Conv2d(inner, stage.outputs, 1, bias=False)
        self._bn2 = _norm(stage.outputs)
        self.shortcut = stage.stride == 1 and stage.inputs == stage.outputs

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        inner = F.relu6(self._bn0(self._expand_conv(images))) if self.wide else images
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        narrow: Tensor = self._bn2(self._project_conv(inner))
        return images + narrow if self.shortcut else narrow


FOLDED = (
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
    ("_conv_head", "_bn1"),
)
"""Convolutions and the norms after them."""


def fold_norms(network: nn.Module) -> None:
    """Put each norm of a network in evaluation into the convolution before it, in place."""
    for module in list(network.modules()):
        for conv, norm in FOLDED:
            if hasattr(module, conv) and isinstance(getattr(module, norm), nn.BatchNorm2d):
                setattr(
                    module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm))
                )
                setattr(module, norm, nn.Identity())


class EfficientNetLite0(nn.Module):
    """Images to 1,280 features and 1,000 ImageNet classes."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, STAGES[0].inputs, 3, 2, bias=False)
        self._bn0 = _norm(STAGES[0].inputs)
        self._blocks = nn.ModuleList(
            Block(stage if at == 0 else stage._replace(inputs=stage.outputs, stride=1))
            for stage in STAGES
            for at in range(stage.repeats)
        )
        self._conv_head = nn.Conv2d(STAGES[-1].outputs, WIDTH, 1, bias=False)
        self._bn1 = _norm(WIDTH)
        self._fc = nn.Linear(WIDTH, 1000)

    def features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W), (v - 127) / 128 of 8-bit values -> (N, 1280), at least 0."""
        inner = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            inner = block(inner)
        return F.relu6(self._bn1(self._conv_head(inner))).mean((2, 3))

    def stages(self, images: Tensor) -> list[Tensor]:
        """What the blocks make of the images before each one that halves them, as maps."""
        inner, found = F.relu6(self._bn0(self._conv_stem(images))), []
        for block in self._blocks:
            after = block(inner)
            if after.shape[-1] != inner.shape[-1]:
                found.append(inner)
            inner = after
        return [*found, inner]

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, 1000)."""
        logits: Tensor = self._fc(self.features(images))
        return logits
