"""Differentiable changes to images, lest a critic learn a small set by heart (2006.10738).

Real and made images go through the same ones whenever the critic looks at them, in the updates of
both players: then the generator is not taught to make changed images. Every change takes images
(N, C, H, W) in [-1, 1] and uniform numbers (N, k) in [0, 1), so that an image's change depends on
its own numbers alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 1 / 8
HOLE = 1 / 2
COLOURS = 3


@dataclass(frozen=True)
class Augmentation:
    """A change and how many uniform numbers an image's needs.

    Attributes:
        apply: (images, uniform) -> images.
        numbers: uniform numbers an image.
        premultiplied: the same for RGBA whose colour is times alpha: it leaves the void empty.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    numbers: int
    premultiplied: Callable[[Tensor, Tensor], Tensor]


def translate(images: Tensor, uniform: Tensor) -> Tensor:
    """Shift by up to an eighth of each side; what comes in is grey (2006.10738, section 3)."""
    height, width = images.shape[-2:]
    most = round(SHIFT * height), round(SHIFT * width)
    down, right = (_whole(uniform[:, axis], 2 * most[axis] + 1) for axis in (0, 1))
    rows = torch.arange(height, device=images.device) + down[:, None]
    columns = torch.arange(width, device=images.device) + right[:, None]
    framed = F.pad(images, (most[1], most[1], most[0], most[0]))
    number = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    return framed.permute(0, 2, 3, 1)[number, rows[:, :, None], columns[:, None]].permute(
        0, 3, 1, 2
    )


def recolour(images: Tensor, uniform: Tensor) -> Tensor:
    """Brightness, saturation, contrast; an alpha channel stays (2006.10738, section 3)."""
    brightness, saturation, contrast = uniform[:, :3].view(-1, 3, 1, 1, 1).unbind(1)
    colours, alpha = images[:, :COLOURS], images[:, COLOURS:]
    colours = colours + (brightness - 0.5)
    grey = colours.mean(1, keepdim=True)
    colours = grey + (colours - grey) * (2 * saturation)
    middle = colours.mean((1, 2, 3), keepdim=True)
    colours = middle + (colours - middle) * (contrast + 0.5)
    return torch.cat([colours, alpha], 1)


def recolour_premultiplied(images: Tensor, uniform: Tensor) -> Tensor:
    """:func:`recolour` of colour times alpha, p' = f(p / alpha) alpha, written without division.

    Every part of f is affine in colour, so its constant is what alpha multiplies. The colour that
    contrast turns about is the mean of what can be seen.
    """
    brightness, saturation, contrast = uniform[:, :3].view(-1, 3, 1, 1, 1).unbind(1)
    weighed, alpha = images[:, :COLOURS] + 1, (images[:, COLOURS:] + 1) / 2
    weighed = weighed + (brightness - 0.5) * alpha
    grey = weighed.mean(1, keepdim=True)
    weighed = grey + (weighed - grey) * (2 * saturation)
    seen = alpha.mean((1, 2, 3), keepdim=True).clamp_min(1e-6)
    middle = weighed.mean((1, 2, 3), keepdim=True) / seen * alpha
    weighed = middle + (weighed - middle) * (contrast + 0.5)
    return torch.cat([weighed - 1, images[:, COLOURS:]], 1)


def cut_out(images: Tensor, uniform: Tensor) -> Tensor:
    """A grey box of half of each side, centred anywhere (1708.04552; 2006.10738, section 3)."""
    inside = [_covered(uniform[:, axis], images.shape[2 + axis]) for axis in (0, 1)]
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(hole, 0)


def mirror(images: Tensor, uniform: Tensor) -> Tensor:
    """Left and right swapped for half of the images; only where a mirrored one is as good."""
    return torch.where(uniform[:, :1, None, None] < 0.5, images.flip(-1), images)


def _emptied(apply: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A change that brings in zeros, bringing in -1: nothing, of colour times alpha."""
    return lambda images, uniform: apply(images + 1, uniform) - 1


AUGMENTATIONS = {
    "translation": Augmentation(translate, 2, _emptied(translate)),
    "colour": Augmentation(recolour, 3, recolour_premultiplied),
    "cutout": Augmentation(cut_out, 2, _emptied(cut_out)),
    "flip": Augmentation(mirror, 1, mirror),
}


def numbers_of(names: Sequence[str]) -> int:
    """Uniform numbers an image needs: those of each change, and one that decides on it."""
    return sum(AUGMENTATIONS[name].numbers + 1 for name in names)


def augment(
    images: Tensor,
    names: Sequence[str],
    uniform: Tensor,
    chance: Tensor | float = 1.0,
    premultiplied: bool = False,
) -> Tensor:
    """Images (N, C, H, W) with each change made to each image with a probability.

    Args:
        images: in [-1, 1].
        names: keys of ``AUGMENTATIONS``, in the order in which they are made.
        uniform: (N, :func:`numbers_of`) in [0, 1).
        chance: that a change is made.
        premultiplied: images are RGBA whose colour is times alpha.
    """
    at = 0
    for name in names:
        change = AUGMENTATIONS[name]
        own = uniform[:, at : at + change.numbers + 1]
        made = own[:, :1, None, None] < chance
        apply = change.premultiplied if premultiplied else change.apply
        images = torch.where(made, apply(images, own[:, 1:]), images)
        at += change.numbers + 1
    return images


def _whole(uniform: Tensor, count: int) -> Tensor:
    """Whole numbers from 0 to count - 1."""
    return (uniform * count).long().clamp(max=count - 1)


def _covered(uniform: Tensor, side: int) -> Tensor:
    """Which of a side's places a box of half its length covers: (N, side)."""
    length = round(HOLE * side)
    start = _whole(uniform, side + 1 - length % 2) - length // 2
    places = torch.arange(side, device=uniform.device)
    return (places >= start[:, None]) & (places < start[:, None] + length)


def cropped(images: Tensor, side: int, uniform: Tensor) -> Tensor:
    """A square of each image: (N, C, H, W) -> (N, C, min(side, H), min(side, W)).

    Args:
        images: (N, C, H, W).
        side: of the square.
        uniform: (N, 2) in [0, 1); decides how far down and right it lies.
    """
    for axis in (2, 3):
        length = images.shape[axis]
        if side < length:
            starts = (uniform[:, axis - 2] * (length - side + 1)).long().clamp_max(length - side)
            wanted = starts[:, None] + torch.arange(side, device=images.device)
            shape = [len(images), 1, 1, 1]
            shape[axis] = side
            kept = list(images.shape)
            kept[axis] = side
            images = images.gather(axis, wanted.view(shape).expand(kept))
    return images
