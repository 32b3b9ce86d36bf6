"""A diffusion model by noise level: where it is trained, where it is sampled, where it errs."""

from pathlib import Path

import numpy as np
import torch

from mezzotint.data.dataset import Images
from mezzotint.families.base import Family, fixed_noise
from mezzotint.families.capabilities import Denoises
from mezzotint.figures import new_figure, save_figure
from mezzotint.images import to_float
from mezzotint.inspection.findings import Findings
from mezzotint.noise import Level, Levels
from mezzotint.progress import Progress

LEVELS, LOOKED_AT = 24, 128
DRAWN = 20_000


def log_ratio(level: Level | Levels) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """log10(sigma / alpha), between -3 and 3."""
    alpha, sigma = (np.asarray(part, dtype=np.float64).ravel() for part in level[:2])
    return np.clip(np.log10(np.maximum(sigma, 1e-6) / np.maximum(alpha, 1e-6)), -3, 3)


def draw_schedule(family: Family, images: Images, folder: Path, show: Progress) -> Findings:
    """``schedule.png``: alpha and sigma over the steps, and the levels of training beside them."""
    if not isinstance(family, Denoises):
        raise TypeError(f"{family.kind} does not denoise")
    config = family.config
    levels = family.process.levels(config.steps, config.spacing)[:-1]
    figure = new_figure(11, 3.8)
    steps, law = figure.subplots(1, 2)
    for name in ("alpha", "sigma"):
        steps.plot([getattr(level, name) for level in levels], marker="o", ms=3, label=name)
    steps.set(title=f"{config.process}: {config.steps} steps of {config.solver}", xlabel="step")
    if max(level.sigma for level in levels) > 1:
        steps.set_yscale("log")
    trained = family.process.draw((torch.arange(DRAWN) + 0.5) / DRAWN)
    law.hist(log_ratio(trained), bins=60, density=True, alpha=0.5, label="drawn in training")
    visited = [float(log_ratio(level)[0]) for level in levels]
    law.plot(visited, np.zeros(len(visited)), "|", ms=18, label="visited in sampling")
    law.set(title="noise levels", xlabel="log10(sigma / alpha)")
    for panel, place in ((steps, "lower center"), (law, "upper right")):
        panel.legend(loc=place, frameon=False)
        panel.grid(alpha=0.3)
    return Findings((save_figure(figure, folder / "schedule.png"),))


@torch.inference_mode()
def draw_losses(family: Family, images: Images, folder: Path, show: Progress) -> Findings:
    """``losses.png``: squared error of the prediction on held-out images at levels of training.

    The levels are quantiles of the training law, so each stands for as many training images.
    """
    if not isinstance(family, Denoises):
        raise TypeError(f"{family.kind} does not denoise")
    count = min(LOOKED_AT, len(images))
    pixels = family.inward(to_float(images.gather(range(count))).to(family.device))
    labels = images.labels_of(range(count)) if family.config.classes else None
    marks = None if labels is None else torch.from_numpy(labels).to(family.device)
    told = family.told.of(pixels, marks)
    noise = fixed_noise("losses", count, family.device).randn(*family.shape)
    ratios, errors = [], []
    for step in range(LEVELS):
        share = torch.full((count,), (step + 0.5) / LEVELS, device=family.device)
        levels = family.process.draw(share)
        errors.append(float(family.squared_error(pixels, noise, levels, told).mean()))
        ratios.append(float(log_ratio(levels)[0]))
        show.update(step + 1, LEVELS, note="losses by level")
    figure = new_figure(6, 3.8)
    panel = figure.subplots()
    panel.plot(ratios, errors, marker="o", ms=4)
    panel.set(
        title=f"error of the prediction ({family.config.prediction}), {count} held-out images",
        xlabel="log10(sigma / alpha)",
        yscale="log",
    )
    panel.grid(alpha=0.3)
    numbers = {"loss_by_level": [list(pair) for pair in zip(ratios, errors, strict=True)]}
    return Findings((save_figure(figure, folder / "losses.png"),), numbers)
