"""Pictures of a model at work, the same seeds and the same images every time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.corruptions import gaussian
from mezzotint.data.dataset import Images
from mezzotint.families.base import Batch, Family, fixed_noise, from_unit, to_unit
from mezzotint.families.capabilities import Corrupts, Reconstructs, Samples
from mezzotint.images import grid, rows_grid, save_image, to_float, to_uint8
from mezzotint.runs.folder import RunFolder
from mezzotint.seeds import ImageNoise, image_seeds

SAMPLES = 36
SHOWN = 16
VALIDATED, MOST_NUMBERS = 512, 2**24  # images, and numbers of theirs in one pass

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Preview:
    """What a family can show, uint8 (n, H, W, C) each.

    Attributes:
        samples: of the same seeds every time; None of a family that makes no images.
        originals: held-out images, the same every time.
        seen: what the model is given of them: damaged where it was trained on damaged ones.
        rebuilt: what it makes of that; None of a family that does not rebuild.
    """

    samples: Pixels | None
    originals: Pixels
    seen: Pixels
    rebuilt: Pixels | None


def preview(family: Family, held_out: Images) -> Preview:
    """Samples and reconstructions of a model with the weights to show."""
    samples, again = None, None
    if isinstance(family, Samples):
        samples = to_uint8(family.sample(image_seeds(0, SAMPLES), **family.preview))
    originals = held_out.gather(range(min(SHOWN, len(held_out))))
    seen = originals
    if isinstance(family, Reconstructs) and len(held_out):
        seen = damaged(family, originals, None)
        again = rebuilt(family, seen)
    return Preview(samples, originals, seen, again)


def draw_previews(found: Preview, folder: Path, images: int) -> list[Path]:
    """Write a grid of samples and a block of reconstructions, of those that there are.

    Args:
        found: what to show.
        folder: where the pictures go, named after ``images``.
        images: images seen so far.

    Raises:
        StorageError, CannotCreateError: a picture cannot be written.
    """
    written = []
    if found.samples is not None:
        written.append(save_image(folder / f"samples-{images:09d}.png", grid(found.samples)))
    if found.rebuilt is not None:
        sheet = compared_sheet(found.originals, found.seen, found.rebuilt)
        written.append(save_image(folder / f"reconstructions-{images:09d}.png", sheet))
    return written


def reconstruction_sheet(family: Family, pixels: Pixels, noise: float | None = None) -> Pixels:
    """Originals above reconstructions; between them what the model saw, if that was damaged.

    Args:
        family: can reconstruct.
        pixels: (N, H, W, C) uint8.
        noise: damage the images with this strength first; None: as the family was trained.

    Returns:
        uint8 (H', W', C).
    """
    seen = damaged(family, pixels, noise)
    return compared_sheet(pixels, seen, rebuilt(family, seen))


def compared_sheet(pixels: Pixels, seen: Pixels, others: Pixels) -> Pixels:
    """Images above what was seen of them, if that is another array, above their reconstructions.

    Args:
        pixels, seen, others: (N, H, W, C) uint8.

    Returns:
        uint8 (H', W', C).
    """
    series, captions = [pixels], ["original"]
    if seen is not pixels:
        series, captions = [*series, seen], [*captions, "damaged"]
    return rows_grid(
        [*series, others], columns=min(8, len(pixels)), captions=[*captions, "rebuilt"]
    )


def film_sheet(noisy: Tensor, clean: Tensor) -> Pixels:
    """States x_t above the x_0 predicted at them, a column a moment, a block an image.

    Args:
        noisy, clean: (n, frames, C, H, W) in [-1, 1].

    Returns:
        uint8 (H', W', C).
    """
    series = [to_uint8(part.flatten(0, 1)) for part in (noisy, clean)]
    return rows_grid(series, columns=noisy.shape[1], captions=["x_t", "predicted x_0"])


def rebuilt(family: Family, pixels: Pixels) -> Pixels:
    """The family's reconstruction of uint8 (N, H, W, C) images, in the same form."""
    if not isinstance(family, Reconstructs):
        raise TypeError(f"{family.kind} does not reconstruct")
    parts = [pixels[start : start + 256] for start in range(0, len(pixels), 256)]
    return np.concatenate([to_uint8(family.reconstruct(to_float(part))) for part in parts])


def damaged(family: Family, pixels: Pixels, noise: float | None) -> Pixels:
    """The images with the damage the family repairs, or Gaussian noise if it knows none.

    Image i's damage depends on i alone. The same array comes back when no strength is given and
    the family was trained on clean images.
    """
    if noise is None and not getattr(family.config, "corruption", ()):
        return pixels
    draws = ImageNoise(image_seeds(0, len(pixels)), purpose="corrupt")
    images = to_float(pixels)
    if isinstance(family, Corrupts):
        return to_uint8(family.corrupt(images, draws, noise))
    return to_uint8(from_unit(gaussian(to_unit(images), noise or 0.0, draws)))


@torch.no_grad()
def validation_losses(family: Family, held_out: Images) -> dict[str, float]:
    """Mean losses on up to 512 held-out images, fewer large ones, with the same draws always."""
    most = max(SHOWN, MOST_NUMBERS // held_out.pixels[0].size) if len(held_out) else 0
    count = min(VALIDATED, len(held_out), most)
    if count == 0:
        return {}
    images = to_float(held_out.gather(range(count))).to(family.device)
    labels = held_out.labels_of(range(count))
    marks = None if labels is None else torch.from_numpy(labels).to(family.device)
    noise = fixed_noise("validation", count, family.device)
    captions = held_out.captions_of(range(count))
    losses = family.validation_loss(Batch(family.inward(images), noise, marks, captions))
    return {f"validation_{name}": float(value) for name, value in losses.items()}


def pictures(folder: RunFolder) -> list[Path]:
    """The newest picture of each kind in a run, for telling the user where to look."""
    found: dict[str, Path] = {}
    for path in sorted(folder.samples.glob("*.png")):
        found[path.name.rpartition("-")[0]] = path
    curve = folder.path / "curve.png"
    return [*found.values(), *([curve] if curve.is_file() else [])]
