"""A critic that judges patches of an image instead of the whole (1611.07004, section 3.2.2)."""

from itertools import pairwise

from torch import Tensor, nn

from mezzotint.nets.adversaries import SLOPE

KERNEL = 4


class PatchCritic(nn.Module):
    """PatchGAN: strided convolutions, one output a patch, each image seen alone.

    Group norm stands where the paper has batch norm, so that an output depends on its own image.

    Args:
        channels: of the images.
        width: channels after the first convolution; they double at each further one.
        layers: convolutions that halve the image; patches are 16, 34 and 70 pixels wide for 1 to 3.

    Shapes: (N, channels, H, W) -> (N, 1, h, w), higher is "more real".
    """

    def __init__(self, channels: int, width: int, layers: int) -> None:
        super().__init__()
        widths = [width << min(level, 3) for level in range(layers)]
        body: list[nn.Module] = [nn.Conv2d(channels, width, KERNEL, 2, 1), nn.LeakyReLU(SLOPE)]
        for before, after in pairwise(widths):
            body += _layer(before, after, 2)
        last = min(2 * widths[-1], 8 * width)
        self.body = nn.Sequential(
            *body, *_layer(widths[-1], last, 1), nn.Conv2d(last, 1, KERNEL, 1, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """One number a patch."""
        found: Tensor = self.body(images)
        return found


def _layer(before: int, after: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, KERNEL, stride, 1, bias=False)
    return [conv, nn.GroupNorm(max(1, after // 16), after), nn.LeakyReLU(SLOPE)]
