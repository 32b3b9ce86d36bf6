"""Overfit one detailed picture: whether what a family makes has the picture's detail at any size.

A network that cannot say something (a head narrower than what it has to fill, a decoder that draws
a pattern of its own) cannot learn a single picture by heart. That shows in seconds, as energy of
the cosine transform by octave: noise, blur and dots all miss the picture's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

import mezzotint as mz
from mezzotint.families.capabilities import Samples
from mezzotint.images import to_uint8

Pixels = NDArray[np.uint8]
Size = tuple[int, int]

SIZES: tuple[Size, ...] = tuple((side, side) for side in (28, 32, 48, 64, 96, 128, 192, 256))
SIZES += ((48, 80),)
CHANNELS = (1, 3, 4)
OCTAVES = (1 / 4, 1 / 8, 1 / 16, 0.0)  # lower ends in cycles a pixel, the finest first
LOW, HIGH = 0.7, 1.3  # what the finest octave may have of the picture's energy
COPIES = 32
SAMPLES = 16
COLOURS = ((0.93, 0.35, 0.21), (0.16, 0.45, 0.82), (0.98, 0.84, 0.27), (0.20, 0.62, 0.35))


def detailed_picture(size: Size, channels: int, seed: int = 0) -> Pixels:
    """A picture uint8 (H, W, C) with energy in every octave at any size.

    A slope of light, discs with sharp rims, a patch of stripes four pixels apart, one of fine
    grain, strokes two pixels wide. RGBA: clear outside a rounded frame, with a soft rim.
    """
    height, width = size
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    picture = np.stack([0.75 - 0.4 * down, 0.55 + 0.3 * right, 0.6 + 0.25 * down], -1)
    for place, colour in enumerate(COLOURS):
        y, x = rng.uniform(0.2, 0.8, 2)
        inside = np.hypot(down - y, right - x) < 0.10 + 0.05 * place
        picture[inside] = colour
    rows, columns = np.mgrid[:height, :width]
    stripes = (rows + 2 * columns) // 2 % 2 == 0
    picture[(down > 0.55) & (right < 0.4) & stripes] *= 0.6
    grain = rng.uniform(-0.2, 0.2, (height, width, 1))
    picture += grain * ((down < 0.4) & (right > 0.6))[..., None]
    for _ in range(max(2, min(size) // 16)):
        at = int(rng.integers(2, height - 3))
        picture[at : at + 2, width // 8 : width - width // 8] *= 0.25
    pixels = (picture.clip(0, 1) * 255).round().astype(np.uint8)
    if channels == 1:
        return np.asarray(pixels.mean(-1, keepdims=True).round().astype(np.uint8))
    if channels == 3:
        return pixels
    far = np.maximum(abs(down - 0.5), abs(right - 0.5))
    alpha = ((0.47 - far) * min(size) / 2).clip(0, 1)
    return np.dstack([pixels, (alpha * 255).round().astype(np.uint8)])


def seen(pixels: Pixels) -> NDArray[np.float64]:
    """Pictures uint8 (N, H, W, C) as an eye sees them: (N, H, W, C') in [0, 1], RGBA on white."""
    found = pixels.astype(np.float64) / 255
    if found.shape[-1] < 4:
        return found
    alpha = found[..., 3:]
    return np.asarray(found[..., :3] * alpha + 1 - alpha)


def octave_energies(pixels: Pixels) -> NDArray[np.float64]:
    """Energy of pictures uint8 (N, H, W, C) in each octave, the finest first: (N, 4).

    Squares of the orthonormal cosine transform, summed over colours, each colour's mean removed.
    """
    shown = seen(pixels)
    power = np.square(dctn(shown - shown.mean((1, 2), keepdims=True), axes=(1, 2), norm="ortho"))
    height, width = pixels.shape[1:3]
    down, right = np.arange(height) / (2 * height), np.arange(width) / (2 * width)
    frequency = np.hypot(down[:, None], right[None])
    tops = (np.inf, *OCTAVES[:-1])
    rows = [
        power[:, (frequency >= low) & (frequency < top)].sum((1, 2))
        for low, top in zip(OCTAVES, tops, strict=True)
    ]
    return np.stack(rows, -1)


def decibels(made: Pixels, wanted: Pixels) -> float:
    """Peak signal-to-noise ratio over all pictures, as they are seen."""
    error = np.square(seen(made) - seen(wanted)).mean()
    return float(-10 * np.log10(max(error, 1e-10)))


@dataclass(frozen=True)
class Learnt:
    """What a family made of the pictures it was to learn by heart.

    Attributes:
        ratios: energy of what was made over that of the pictures in each octave, finest first.
        psnr: dB against the pictures; of samples, against the nearest one.
        made: uint8 (n, H, W, C).
        path: of the run.
    """

    ratios: tuple[float, ...]
    psnr: float
    made: Pixels
    path: Path

    def require(self, psnr: float, low: float = LOW, high: float = HIGH) -> None:
        """Fail unless the finest octave is between two shares and the PSNR is reached."""
        told = f"octaves {', '.join(f'{one:.2f}' for one in self.ratios)}; {self.psnr:.1f} dB"
        assert low <= self.ratios[0] <= high, told
        assert self.psnr >= psnr, told


def overfit(
    family: str,
    size: Size,
    channels: int,
    out: Path,
    images: int,
    pictures: int = 1,
    sample: bool | None = None,
    **options: Any,
) -> Learnt:
    """Train a family on nothing but a picture, with the options of a new run, and measure.

    Args:
        family: its name.
        size: (height, width).
        channels: 1, 3 or 4.
        out: folder of the run.
        images: length of the training.
        pictures: how many there are to learn; two keep their mean from being the answer.
        sample: judge samples, or else reconstructions; None: whatever the family can do.
        options: of the run, beside the default ones.
    """
    wanted = np.stack([detailed_picture(size, channels, seed) for seed in range(pictures)])
    data = mz.load_images(np.repeat(wanted, COPIES, 0), size=size, channels=channels)
    quiet = {"previews": 0, "watch": False, **options}
    run = mz.train(family, data, out, images=images, **quiet)
    samples = isinstance(run.model, Samples) if sample is None else sample
    if samples:
        made = to_uint8(run.model.sample(range(SAMPLES)))
    else:
        made = to_uint8(run.model.reconstruct(mz.images.to_float(wanted)))
    return Learnt(*_compared(made, wanted, samples), made, run.path)


def _compared(made: Pixels, wanted: Pixels, samples: bool) -> tuple[tuple[float, ...], float]:
    """Ratios of energy, and the PSNR."""
    ratios = octave_energies(made).mean(0) / octave_energies(wanted).mean(0)
    if samples:
        wanted = np.stack([_nearest(one, wanted) for one in made])
    return tuple(map(float, ratios)), decibels(made, wanted)


def _nearest(one: Pixels, wanted: Pixels) -> Pixels:
    errors = np.square(seen(wanted) - seen(one[None])).mean((1, 2, 3))
    return np.asarray(wanted[int(errors.argmin())])


def told(rows: Sequence[tuple[str, Size, int, Learnt]]) -> str:
    """A Markdown table of what families made."""
    lines = ["| family | size | channels | octaves, finest first | PSNR |", "|---|---|---|---|---|"]
    for family, size, channels, found in rows:
        ratios = " / ".join(f"{one:.2f}" for one in found.ratios)
        shape = f"{size[1]}x{size[0]}"
        lines.append(f"| {family} | {shape} | {channels} | {ratios} | {found.psnr:.1f} dB |")
    return "\n".join(lines)
