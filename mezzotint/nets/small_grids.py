"""Convolutions on tiny grids as one matrix product, where a CPU's convolution kernels are slow.

Wide layers whose grid has shrunk to a few cells leave direct kernels nothing to slide over: on an
AVX2 core, training a 4x4 convolution from 512x3x3 to 1024x1x1 is seven times faster as a product.
Parameters, names, shapes and results (up to rounding) stay the same. Where a product wins was
measured over kernels 3 and 4, strides 1 and 2, batches 16 to 128, 64 to 1024 channels, channels
last: on one cell from 2,048 inputs on, on four from 8,192, on nine from none that was tried.
"""

import torch.nn.functional as F
from torch import Tensor, nn

LEAST_INPUTS = 2048  # to a number of the output, for each cell of the grid
LEAST_CHANNELS = 64
CHANNELS_PER_CELL = 32


class SmallGridConv2d(nn.Conv2d):
    """A convolution that unfolds its input when training on a CPU with a tiny output."""

    def forward(self, input: Tensor) -> Tensor:
        """As ``nn.Conv2d``."""
        height, width = self._length(input, 0), self._length(input, 1)
        inputs = self.kernel_size[0] * self.kernel_size[1] * self.in_channels
        few = 0 < height * width * LEAST_INPUTS <= inputs
        if not few or not _trains_on_cpu(self, input):
            return super().forward(input)
        columns = F.unfold(input, self.kernel_size, 1, _pixels(self.padding), self.stride)
        rows = columns.transpose(1, 2).reshape(-1, columns.shape[1])
        made = F.linear(rows, self.weight.flatten(1), self.bias)
        return made.view(len(input), height, width, -1).permute(0, 3, 1, 2)

    def _length(self, images: Tensor, axis: int) -> int:
        room = images.shape[2 + axis] + 2 * _pixels(self.padding)[axis] - self.kernel_size[axis]
        return room // self.stride[axis] + 1


class SmallGridConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that folds its output when training on a CPU with a tiny input."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """As ``nn.ConvTranspose2d``."""
        cells = input.shape[-2] * input.shape[-1]
        small = self.in_channels >= CHANNELS_PER_CELL * cells
        if output_size is not None or not small or not _trains_on_cpu(self, input):
            return super().forward(input, output_size)
        rows = input.permute(0, 2, 3, 1).reshape(-1, self.in_channels)
        columns = (rows @ self.weight.flatten(1)).view(len(input), cells, -1).transpose(1, 2)
        size = self._length(input, 0), self._length(input, 1)
        made = F.fold(columns, size, self.kernel_size, 1, _pixels(self.padding), self.stride)
        return made if self.bias is None else made + self.bias[:, None, None]

    def _length(self, images: Tensor, axis: int) -> int:
        start = (images.shape[2 + axis] - 1) * self.stride[axis] - 2 * _pixels(self.padding)[axis]
        return start + self.kernel_size[axis] + self.output_padding[axis]


def adapt(module: nn.Module) -> None:
    """Let the wide convolutions inside ``module`` use a matrix product on tiny grids.

    Only plain layers change class, never subclasses of somebody else's.
    """
    for part in module.modules():
        if type(part) is nn.Conv2d and _suits(part):
            part.__class__ = SmallGridConv2d
        elif type(part) is nn.ConvTranspose2d and _suits(part):
            part.__class__ = SmallGridConvTranspose2d


def _suits(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    inputs = layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels
    wide = min(layer.in_channels, layer.out_channels) >= LEAST_CHANNELS and inputs >= LEAST_INPUTS
    plain = layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"
    return wide and plain and not isinstance(layer.padding, str)


def _trains_on_cpu(layer: nn.Module, images: Tensor) -> bool:
    return layer.training and images.device.type == "cpu" and images.dim() == 4


def _pixels(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    """Padding in pixels; :func:`adapt` takes no layer that names it."""
    return () if isinstance(padding, str) else padding
