"""What single latents do, and what lies between two images."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mezzotint.families.base import Family
from mezzotint.families.capabilities import Encodes
from mezzotint.images import rows_grid, save_image, to_uint8
from mezzotint.inspection.findings import Findings
from mezzotint.inspection.latents import Latents, Numbers

STEPS = 9
LOW, HIGH = 0.02, 0.98  # quantiles between which a latent is moved
TRIED, SHOWN = 64, 12  # latents decoded, of the widest spread; latents drawn
PAIRS = 6


class Traversal(NamedTuple):
    """A latent moved over its range with all others at their medians.

    Attributes:
        latent: its number.
        effect: mean squared change of the image between neighbouring steps, pixels in [0, 1].
        pixels: uint8 (STEPS, H, W, C).
    """

    latent: int
    effect: float
    pixels: NDArray[np.uint8]


def decoded(family: Family, rows: Numbers) -> NDArray[np.uint8]:
    """Images uint8 (N, H, W, C) of flat latents (N, d)."""
    if not isinstance(family, Encodes):
        raise TypeError(f"{family.kind} does not decode")
    return to_uint8(family.decode(torch.from_numpy(rows).float()))


def traverse(family: Family, rows: Numbers) -> list[Traversal]:
    """Traversals of the latents of widest spread, the one that changes the image most first."""
    widest = np.argsort(-rows.std(0), kind="stable")[:TRIED]
    found = [_moved(family, rows, int(latent)) for latent in widest]
    return sorted(found, key=lambda each: (-each.effect, each.latent))


def _moved(family: Family, rows: Numbers, latent: int) -> Traversal:
    course = np.tile(np.median(rows, axis=0), (STEPS, 1))
    low, high = np.quantile(rows[:, latent], (LOW, HIGH))
    course[:, latent] = np.linspace(low, high, STEPS)
    pixels = decoded(family, course)
    effect = float((np.diff(pixels.astype(np.float64), axis=0) ** 2).mean() / 255**2)
    return Traversal(latent, effect, pixels)


def draw_traversals(family: Family, found: Latents, folder: Path) -> Findings:
    """``traversals.png``: a row a latent, from its 2% quantile to its 98% one."""
    moved = traverse(family, found.vectors)
    shown = [each for each in moved if each.effect > 0][:SHOWN] or moved[:1]
    captions = [f"latent {each.latent}" for each in shown]
    sheet = rows_grid([each.pixels for each in shown], columns=STEPS, captions=captions)
    path = save_image(folder / "traversals.png", sheet, {"model": family.kind})
    effects = [{"latent": each.latent, "effect": each.effect} for each in moved]
    return Findings((path,), {"active_latents": effects})


def blend(first: Numbers, second: Numbers, steps: int) -> Numbers:
    """(1 - t) a + t b for evenly spaced t in [0, 1]: (steps, d)."""
    share = np.linspace(0, 1, steps)[:, None]
    return (1 - share) * first + share * second


def pairs_of(labels: NDArray[np.int64] | None, count: int, wanted: int) -> list[tuple[int, int]]:
    """Rows to walk between, of different classes where there are such; no row twice."""
    rows = np.linspace(0, count - 1, min(count, 8 * wanted)).round().astype(int).tolist()
    found: list[tuple[int, int]] = []
    while len(rows) > 1 and len(found) < wanted:
        first = rows.pop(0)
        others = (at for at, row in enumerate(rows) if _differ(labels, first, row))
        found.append((first, rows.pop(next(others, 0))))
    return found


def _differ(labels: NDArray[np.int64] | None, first: int, second: int) -> bool:
    return labels is None or bool(labels[first] != labels[second])


def draw_interpolation(family: Family, found: Latents, folder: Path) -> Findings:
    """``interpolation.png``: straight lines between latents of images, which stand at the ends."""
    count = len(found.images)
    series = []
    for first, second in pairs_of(found.images.labels_of(range(count)), count, PAIRS):
        between = decoded(family, blend(found.vectors[first], found.vectors[second], STEPS))
        ends = found.images.gather([first, second])
        series.append(np.concatenate([ends[:1], between, ends[1:]]))
    sheet = rows_grid(series, columns=STEPS + 2)
    return Findings((save_image(folder / "interpolation.png", sheet, {"model": family.kind}),))


def draw_outliers(family: Family, found: Latents, folder: Path) -> Findings:
    """``outliers.png``: the images farthest from the centre of all latents, in reading order."""
    order = np.argsort(-found.distances, kind="stable")[:32].tolist()
    pixels = found.images.gather(order)
    path = save_image(
        folder / "outliers.png", rows_grid([pixels], columns=8), {"model": found.kind}
    )
    names = found.images.names_of(order)
    told = [
        {"name": name, "distance": float(found.distances[row])}
        for name, row in zip(names, order, strict=True)
    ]
    return Findings((path,), {"outliers": told})
