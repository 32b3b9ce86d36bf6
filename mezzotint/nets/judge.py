"""A small network that learns to tell images of one set apart, for its features."""

import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 64
GRID = 16  # images are rebuilt at this size


def _conv(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, 1),
        nn.GroupNorm(8, outputs),
        nn.GELU(),
    ]


class Judge(nn.Module):
    """Three convolutions to 64 features, and a head for classes or for the image itself.

    Args:
        channels: of the images.
        classes: how many; 0 rebuilds the image instead.
        large: the first convolution halves the images, as the others do.
    """

    def __init__(self, channels: int, classes: int, large: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv(channels, 32, 2 if large else 1),
            *_conv(32, 64, 2),
            *_conv(64, 128, 2),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(9 * 128, FEATURES),
        )
        self.head = nn.Linear(FEATURES, classes) if classes else _decoder(channels)

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> (N, 64)."""
        vectors: Tensor = self.body(images)
        return vectors

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, classes), or images (N, C, 16, 16)."""
        told: Tensor = self.head(F.gelu(self.features(images)))
        return told


def _decoder(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(FEATURES, 64 * 16),
        nn.Unflatten(1, (64, 4, 4)),
        nn.Upsample(scale_factor=2),
        *_conv(64, 32, 1),
        nn.Upsample(scale_factor=2),
        *_conv(32, 32, 1),
        nn.Conv2d(32, channels, 3, padding=1),
    )
