"""What turns images into feature vectors, and how images are brought to the size it wants."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.alpha import RGBA
from mezzotint.progress import Progress

PART = 64

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Extractor:
    """A way to look at images.

    Attributes:
        name: as the user names it.
        sha256: hex digest of its weights, or of its rule where it has none.
        resize: in words, what is done to the images first.
        look: uint8 (N, H, W, C) -> features (N, d).
        classify: uint8 (N, H, W, C) -> class numbers (N,); None where it knows no classes.
        published: the Frechet distance on it is the published FID.
        laid: where it sees RGBA laid on white: the same on another ground, a key of
            :data:`mezzotint.alpha.GROUNDS`.
    """

    name: str
    sha256: str
    resize: str
    look: Callable[[Pixels], Tensor]
    classify: Callable[[Pixels], Tensor] | None = None
    published: bool = False
    laid: "Callable[[str], Extractor] | None" = None

    @property
    def title(self) -> str:
        """Name and the first digits of the hash."""
        return f"{self.name}@{self.sha256[:8]}"


def rule_digest(rule: str) -> str:
    """The hash of an extractor that has no weights: its rule's."""
    return hashlib.sha256(rule.encode()).hexdigest()


@torch.inference_mode()
def extract(extractor: Extractor, pixels: Pixels, show: Progress, note: str = "") -> Features:
    """Features (N, d) of uint8 images (N, H, W, C), ``PART`` at a time."""
    return _in_parts(extractor.look, pixels, show, note).numpy().astype(np.float32)


@torch.inference_mode()
def classify(extractor: Extractor, pixels: Pixels, show: Progress) -> NDArray[np.int64] | None:
    """Class numbers (N,) of uint8 images, or None where the extractor knows none."""
    if extractor.classify is None:
        return None
    return _in_parts(extractor.classify, pixels, show, "classes").numpy()


def _in_parts(
    function: Callable[[Pixels], Tensor], pixels: Pixels, show: Progress, note: str
) -> Tensor:
    parts = []
    for at in range(0, len(pixels), PART):
        parts.append(function(pixels[at : at + PART]))
        show.update(min(at + PART, len(pixels)), len(pixels), note=f"features {note}".strip())
    return torch.cat(parts)


def resized(images: Tensor, side: int) -> Tensor:
    """(N, C, H, W) to (N, C, side, side): antialiased bicubic, the aspect not kept (2104.11222)."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bicubic", align_corners=False, antialias=True)


def levels(pixels: Pixels) -> Tensor:
    """uint8 (N, H, W, C) as float (N, C, H, W), 0 to 255; colour of RGBA times alpha.

    So no look at pictures depends on a colour that cannot be seen.
    """
    found = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 1))).float()
    if found.shape[1] == RGBA:
        found[:, :3] *= found[:, 3:] / 255
    return found


def rgb(images: Tensor, level: float = 255) -> Tensor:
    """:func:`levels` (N, 1, 3 or 4, H, W) as three channels: grey thrice, RGBA laid on a grey."""
    if images.shape[1] == RGBA:
        return images[:, :3] + level * (1 - images[:, 3:] / 255)
    return images.expand(-1, 3, -1, -1)
