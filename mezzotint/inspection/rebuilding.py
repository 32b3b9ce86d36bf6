"""Reconstructions from the best to the worst."""

from pathlib import Path

import numpy as np

from mezzotint.data.dataset import Images
from mezzotint.families.base import Family
from mezzotint.images import save_image
from mezzotint.inspection.findings import Findings
from mezzotint.progress import Progress
from mezzotint.training.previews import rebuilt, reconstruction_sheet

LOOKED_AT = 500
SHOWN = 32


def draw_ranked(family: Family, images: Images, folder: Path, show: Progress) -> Findings:
    """``reconstructions.png``: of up to 500 images, 32 from the smallest error to the largest."""
    pixels = images.gather(range(min(LOOKED_AT, len(images))))
    apart = pixels.astype(np.float64) - rebuilt(family, pixels)
    errors = (apart**2).mean((1, 2, 3)) / 255**2
    order = np.argsort(errors, kind="stable")
    rows = order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).astype(int)]
    sheet = reconstruction_sheet(family, pixels[rows])
    path = save_image(folder / "reconstructions.png", sheet, {"model": family.kind})
    numbers = {"best": float(errors.min()), "worst": float(errors.max()), "n": len(pixels)}
    return Findings((path,), {"reconstruction_mse": numbers})
