"""Ways to damage an image, for denoising autoencoders and for showing what they repair.

Every corruption takes clean images (N, C, H, W) in [0, 1], a strength and the draws of the batch,
and returns damaged images of the same shape and range.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mezzotint.seeds import Draws

Corruption = Callable[[Tensor, float, Draws], Tensor]


def gaussian(clean: Tensor, sigma: float, draws: Draws) -> Tensor:
    """clean + sigma * eps, clamped to [0, 1] (Vincent et al. 2010, section 3.3)."""
    return (clean + sigma * draws.randn(*clean.shape[1:])).clamp(0, 1)


def masking(clean: Tensor, share: float, draws: Draws) -> Tensor:
    """A random share of the pixels set to black, all channels together."""
    keep = draws.rand(1, *clean.shape[2:]) >= share
    return clean * keep


def salt_and_pepper(clean: Tensor, share: float, draws: Draws) -> Tensor:
    """A random share of the pixels set to black or white with equal chance."""
    chance = draws.rand(1, *clean.shape[2:])
    salted = torch.where(chance < share / 2, torch.zeros_like(clean), clean)
    return torch.where(chance >= 1 - share / 2, torch.ones_like(clean), salted)


def blur(clean: Tensor, strength: float, draws: Draws) -> Tensor:
    """Gaussian blur; each image's sigma is uniform up to ``strength`` times a tenth of its side."""
    largest = max(strength * min(clean.shape[-2:]) / 10, 1e-3)
    sigmas = draws.rand(1) * largest
    radius = min(int(3 * largest) + 1, min(clean.shape[-2:]) - 1)
    steps = torch.arange(-radius, radius + 1, dtype=clean.dtype, device=clean.device)
    kernels = torch.exp(-steps.square() / (2 * sigmas.square().clamp_min(1e-6)))
    kernels = kernels / kernels.sum(1, keepdim=True)
    count, channels = clean.shape[:2]
    weights = kernels.repeat_interleave(channels, 0)
    flat = F.pad(clean.reshape(1, count * channels, *clean.shape[2:]), (radius,) * 4, "replicate")
    rows = F.conv2d(flat, weights[:, None, :, None], groups=count * channels)
    both = F.conv2d(rows, weights[:, None, None, :], groups=count * channels)
    return torch.clamp(both.reshape(clean.shape), 0, 1)


def patches(clean: Tensor, strength: float, draws: Draws) -> Tensor:
    """Three rectangles an image, each filled with a smooth random texture.

    Coherent damage teaches repair of defects, where independent pixel noise teaches smoothing
    (2511.07233). ``strength`` is the largest side of a rectangle as a share of the image's.
    """
    damaged = clean
    for _ in range(3):
        inside = _rectangles(clean, strength, draws)
        texture = _smooth_texture(clean, draws)
        damaged = torch.where(inside, texture, damaged)
    return damaged


def defects(clean: Tensor, strength: float, draws: Draws) -> Tensor:
    """Two patches or scratches an image, of foreign levels, grain, blur, or the image elsewhere.

    Structured damage of many kinds (2108.07610 with masks of smooth noise); ``strength`` is the
    largest side of a damaged part as a share of the image's.
    """
    damaged = clean
    for _ in range(2):
        inside = _rectangles(clean, strength, draws) & _ragged(clean, draws)
        opacity = 0.3 + 0.7 * draws.rand(1, 1, 1)
        foreign = torch.lerp(damaged, _foreign(damaged, draws), opacity)
        damaged = torch.where(inside, foreign, damaged)
    return damaged.clamp(0, 1)


def flaws(clean: Tensor, strength: float, draws: Draws) -> Tensor:
    """Three scratches or stains an image, of sizes in pixels, whatever the image's own size.

    Half are bent lines 1 to 4 pixels wide, half spots of 4 to 32 pixels, both with soft rims. Each
    shifts the levels, flattens the contrast, or is filled with what :func:`defects` fills with;
    ``strength`` is the largest shift.
    """
    damaged, middle = clean, clean.mean((2, 3), keepdim=True)
    foreign = _foreign(clean, draws)
    for _ in range(3):
        share = torch.where(draws.rand(1, 1, 1) < 0.5, _line(clean, draws), _spot(clean, draws))
        amount = strength * (0.1 + 0.9 * draws.rand(1, 1, 1).square())
        shift = torch.where(draws.rand(1, 1, 1) < 0.5, amount, -amount)
        contrast = torch.where(draws.rand(1, 1, 1) < 0.5, draws.rand(1, 1, 1), 1.0)
        stained = middle + contrast * (damaged - middle) + shift
        odd = draws.rand(1, 1, 1) < 0.35
        filled = torch.where(odd, foreign, stained)
        damaged = torch.lerp(damaged, filled.clamp(0, 1), share)
    return damaged


def _line(images: Tensor, draws: Draws) -> Tensor:
    """How far each pixel belongs to a bent line 1 to 4 pixels wide: (N, 1, H, W) in [0, 1]."""
    along, across = _turned_grid(images, draws)
    length, width, bend = draws.rand(3).T[:, :, None, None]
    half = (0.1 + 0.4 * length) * min(images.shape[-2:])
    off = across - (bend - 0.5) * along.square() / half
    inside = (along.abs() < half).to(images.dtype)
    return torch.mul(((0.5 + 1.5 * width) - off.abs() + 0.5).clamp(0, 1), inside)[:, None]


def _spot(images: Tensor, draws: Draws) -> Tensor:
    """How far each pixel belongs to an uneven ellipse: (N, 1, H, W).

    4 to 32 pixels across, half of the image's shorter side at the most.
    """
    along, across = _turned_grid(images, draws)
    size, shape, rim = draws.rand(3).T[:, :, None, None]
    largest = max(min(16.0, min(images.shape[-2:]) / 4), 2.0)
    radius = 2 * (largest / 2) ** size  # even in the logarithm
    far = (along.square() + (across * (0.6 + 0.8 * shape)).square()).sqrt()
    uneven = F.interpolate(draws.rand(1, 8, 8), images.shape[-2:], mode="bicubic") - 0.5
    edge = radius * (1 + uneven[:, 0]) - far
    return torch.clamp(edge / (1 + 2 * rim) + 0.5, 0, 1)[:, None]


def _turned_grid(images: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Pixels along and across a random direction through a random place: (N, H, W) each."""
    height, width = images.shape[-2:]
    angle, down, right = draws.rand(3).T[:, :, None, None]
    y = torch.arange(height, device=images.device).view(1, height, 1) - down * height
    x = torch.arange(width, device=images.device).view(1, 1, width) - right * width
    turn = angle * torch.pi
    return x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()


def _ragged(images: Tensor, draws: Draws) -> Tensor:
    """Half of the time the hills of a smooth random field, else its thin contour: (N, 1, H, W)."""
    coarse = draws.rand(1, 6, 6)
    field = F.interpolate(coarse, images.shape[-2:], mode="bicubic", align_corners=False) - 0.5
    thin = draws.rand(1, 1, 1) < 0.4
    return torch.where(thin, field.abs() < 0.04, field > -0.15)


def _foreign(images: Tensor, draws: Draws) -> Tensor:
    """What a damaged part is filled with, one of four kinds an image."""
    kind = (draws.rand(1, 1, 1) * 4).long()
    level = draws.rand(images.shape[1], 1, 1)
    grain = images + 0.25 * draws.randn(*images.shape[1:])
    soft = blur(images, 1.0, draws)
    fills = (level.expand_as(images), grain, soft, _elsewhere(images, draws))
    filled = fills[0]
    for index, fill in enumerate(fills[1:], start=1):
        filled = torch.where(kind == index, fill, filled)
    return filled


def _elsewhere(images: Tensor, draws: Draws) -> Tensor:
    """The image itself, moved, mirrored at random and with another contrast (as 2104.04015)."""
    height, width = images.shape[-2:]
    shift = draws.rand(2)
    rows = (torch.arange(height, device=images.device) + shift[:, :1] * height).long() % height
    columns = (torch.arange(width, device=images.device) + shift[:, 1:] * width).long() % width
    mirror = draws.rand(1) < 0.5
    columns = torch.where(mirror, columns.flip(1), columns)
    index = (rows[:, None, :, None] * width + columns[:, None, None, :]).flatten(2)
    moved = images.flatten(2).gather(2, index.expand(-1, images.shape[1], -1)).view_as(images)
    contrast, level = draws.rand(2, 1, 1, 1).unbind(1)
    middle = moved.mean((2, 3), keepdim=True)
    return middle + (0.4 + 1.2 * contrast) * (moved - middle) + 0.5 * (level - 0.5)


def _rectangles(images: Tensor, largest: float, draws: Draws) -> Tensor:
    """One random box an image as a mask (N, 1, H, W)."""
    height, width = images.shape[-2:]
    centre_y, centre_x, tall, wide = draws.rand(4).T[:, :, None, None]
    rows = (torch.arange(height, device=images.device) + 0.5).view(1, height, 1) / height
    columns = (torch.arange(width, device=images.device) + 0.5).view(1, 1, width) / width
    near_y = (rows - centre_y).abs() <= tall * largest / 2
    near_x = (columns - centre_x).abs() <= wide * largest / 2
    return torch.logical_and(near_y, near_x)[:, None]


def _smooth_texture(images: Tensor, draws: Draws) -> Tensor:
    coarse = draws.rand(images.shape[1], 4, 4)
    return F.interpolate(coarse, images.shape[-2:], mode="bilinear", align_corners=False)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian": gaussian,
    "masking": masking,
    "salt-and-pepper": salt_and_pepper,
    "blur": blur,
    "patches": patches,
    "defects": defects,
    "flaws": flaws,
}


def corrupt(clean: Tensor, names: Sequence[str], strength: float, draws: Draws) -> Tensor:
    """Damage each image with one of the named corruptions, chosen evenly by the draws.

    Args:
        clean: (N, C, H, W) in [0, 1].
        names: keys of ``CORRUPTIONS``; none leaves the images as they are.
        strength: sigma of ``gaussian``; share or relative size of the others.
        draws: the batch's random numbers.
    """
    if len(names) <= 1:
        return CORRUPTIONS[names[0]](clean, strength, draws) if names else clean
    choice = (draws.rand() * len(names)).long().view(-1, 1, 1, 1)
    damaged = clean
    for index, name in enumerate(names):
        damaged = torch.where(choice == index, CORRUPTIONS[name](clean, strength, draws), damaged)
    return damaged
