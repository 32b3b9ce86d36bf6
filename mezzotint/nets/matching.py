"""A small network that tells which caption belongs to which image, after CLIP (2103.00020)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, FEATURES, GRID = 96, 128, 4
LAYERS, HEADS = 2, 4
SHARPEST = math.log(100.0)


class Matcher(nn.Module):
    """Unit vectors of images and of captions, near each other where both belong together.

    Args:
        channels: of the images.
        vocabulary: numbers that pieces of words may have; the last one ends a text.
        length: numbers a text.
    """

    def __init__(self, channels: int, vocabulary: int, length: int) -> None:
        super().__init__()
        self.end = vocabulary - 1
        self.looks = nn.Sequential(
            *_conv(channels, 32, 2),
            *_conv(32, 64, 2),
            *_conv(64, 128, 2),
            nn.AdaptiveAvgPool2d(GRID),
            nn.Flatten(),
            nn.Linear(GRID**2 * 128, FEATURES),
        )
        self.pieces = nn.Embedding(vocabulary, WIDTH)
        self.places = nn.Parameter(torch.randn(length, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.reads = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.said = nn.Linear(WIDTH, FEATURES)
        self.sharpness = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def images(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> unit vectors (N, 128)."""
        return F.normalize(self.looks(images), dim=1)

    def texts(self, numbers: Tensor) -> Tensor:
        """Numbers (N, length) -> unit vectors (N, 128), read off at the first end."""
        ends = (numbers == self.end).int().argmax(1)
        after = torch.arange(numbers.shape[1], device=numbers.device) > ends[:, None]
        found = self.reads(self.pieces(numbers) + self.places, src_key_padding_mask=after)
        return F.normalize(self.said(found[torch.arange(len(found)), ends]), dim=1)

    @property
    def scale(self) -> Tensor:
        """What similarities are multiplied by, 100 at the most."""
        return self.sharpness.clamp(max=SHARPEST).exp()


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Mean of both cross-entropies of a table of similarities (2103.00020, figure 3).

    A caption that occurs twice in a batch is right for both images: they share the target.

    Args:
        images, texts: unit vectors (N, d).
        scale: of the similarities, a scalar.
        same: (N, N), whether two captions are the same text.
    """
    table = scale * images @ texts.T
    targets = same.to(table.dtype)
    targets = targets / targets.sum(1, keepdim=True)
    return (F.cross_entropy(table, targets) + F.cross_entropy(table.T, targets)) / 2


def _conv(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.GELU()]
