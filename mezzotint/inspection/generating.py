"""What the samples of a model are like: between, around and beside those of its seeds."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.dataset import Images
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Interpolates, Labels, Samples
from mezzotint.features.extractor import Extractor, Features
from mezzotint.features.table import kept_features, open_extractor
from mezzotint.images import headed, rows_grid, save_image, to_uint8
from mezzotint.inspection.findings import Findings
from mezzotint.inspection.nearby import nearest_training_images
from mezzotint.metrics.neighbours import prdc
from mezzotint.progress import Progress
from mezzotint.seeds import image_seeds

FEATURES = "data"
WALKS, STEPS = 6, 9
COLUMNS = 10
MOST_CLASSES = 24
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
COMPARED, FEWEST, NEIGHBOURS = 256, 16, 5  # samples measured at each scale
DRAWN, NEAREST, TYPICAL = 512, 6, 4  # samples looked up; rows of the nearest, and of usual ones

Pixels = NDArray[np.uint8]


def made(family: Family, seeds: Iterable[int], **options: Any) -> Pixels:
    """Samples uint8 (n, H, W, C)."""
    if not isinstance(family, Samples):
        raise TypeError(f"{family.kind} does not sample")
    return to_uint8(family.sample(seeds, **options))


def draw_walks(family: Family, images: Images, folder: Path, show: Progress) -> Findings:
    """``interpolation.png``: from the latents of one seed to those of another."""
    if not isinstance(family, Interpolates):
        raise TypeError(f"{family.kind} does not walk between seeds")
    series, captions = [], []
    for at in range(WALKS):
        first, second = image_seeds(2 * at, 2)
        series.append(to_uint8(family.interpolate(first, second, STEPS)))
        captions.append(f"{_class_of(family, first)}seed {first} to {second}")
        show.update(at + 1, WALKS, note="interpolating")
    sheet = rows_grid(series, columns=STEPS, captions=captions)
    text = (
        "Latents on the great circle between two seeds. Every picture should be as good as the "
        "ends and change little by little; a jump is a border between modes, a ghost a place the "
        "model never learnt."
    )
    return _saved(sheet, text, folder / "interpolation.png", family)


def _class_of(family: Family, seed: int) -> str:
    numbers = family.labels_of([seed]) if isinstance(family, Labels) else None
    return f"{family.config.classes[numbers[0]]}, " if numbers else ""


def draw_classes(family: Family, images: Images, folder: Path, show: Progress) -> Findings:
    """``classes.png``: a row a class, the same seeds in every row."""
    if not isinstance(family, Labels):
        raise TypeError(f"{family.kind} knows no classes")
    names = family.config.classes[:MOST_CLASSES]
    if not names:
        return Findings()
    series = []
    for at in range(len(names)):
        series.append(made(family, image_seeds(0, COLUMNS), label=at))
        show.update(at + 1, len(names), note="classes")
    sheet = rows_grid(series, columns=COLUMNS, captions=names)
    left = len(family.config.classes) - len(names)
    more = f" {left} more classes are not shown." if left else ""
    text = (
        f"A row a class, seeds 0 to {COLUMNS - 1} in every row. A row of one picture repeated is "
        f"a class that has collapsed.{more}"
    )
    return _saved(sheet, text, folder / "classes.png", family)


def draw_truncation(family: Family, images: Images, folder: Path, show: Progress) -> Findings:
    """``truncation.png``: the same seeds with z multiplied by psi, and what that does to all."""
    real, extractor = _reference(images, show)
    rows, captions, told = [], [], []
    for at, psi in enumerate(SCALES):
        pixels = made(family, image_seeds(0, COMPARED), psi=psi)
        rows.append(pixels[:COLUMNS])
        captions.append(f"psi {psi:g}")
        if extractor is not None:
            numbers = _spread(
                real, kept_features(extractor, pixels[: len(real)], show, "of samples")
            )
            captions[-1] += f": covers {numbers['coverage']:.2f}, real {numbers['precision']:.2f}"
            told.append({"psi": psi, **numbers})
        show.update(at + 1, len(SCALES), note="truncation")
    sheet = rows_grid(rows, columns=COLUMNS, captions=captions)
    text = (
        f"Seeds 0 to {COLUMNS - 1} with the latent multiplied by psi: 1 is as trained, 0 the "
        "middle of all latents. "
    )
    if told:
        text += (
            f"Of {len(real)} samples and as many real images, 'covers' is the share of real ones "
            "with a sample close by, 'real' the share of samples close to a real image. Use one "
            "with: sample --psi."
        )
    found = _saved(sheet, text, folder / "truncation.png", family)
    return found.joined(Findings(numbers={"truncation": told}))


def _reference(images: Images, show: Progress) -> tuple[Features, Extractor | None]:
    """Features of the images that samples are compared with; no extractor where there are few."""
    count = min(COMPARED, len(images))
    if count < FEWEST:
        return np.zeros((0, 0), np.float32), None
    extractor = open_extractor(FEATURES, images, show)
    rows = np.random.default_rng(0).permutation(len(images))[:count]
    seen = images.gather(rows)
    return kept_features(extractor, seen, show, "of held-out images"), extractor


def _spread(real: Features, samples: Features) -> dict[str, float]:
    shares = prdc(real, samples, NEIGHBOURS)
    return {"coverage": shares.coverage, "precision": shares.precision}


def draw_neighbours(family: Family, images: Images, folder: Path, show: Progress) -> Findings:
    """``neighbours.png``: samples beside the training images nearest to them."""
    found = nearest_training_images(made(family, image_seeds(0, DRAWN)), images, FEATURES, show)
    if found is None:
        return Findings()
    order = np.argsort(found.distances, kind="stable")
    usual = order[np.linspace(NEAREST, len(order) - 1, TYPICAL + 1).astype(int)[1:]]
    rows = [*order[:NEAREST].tolist(), *usual.tolist()]
    sheet = rows_grid(
        [found.row(at) for at in rows],
        columns=NEIGHBOURS + 1,
        captions=[f"seed {at}: {found.distances[at]:.2f}" for at in rows],
    )
    text = (
        f"Left: samples; beside each the {NEIGHBOURS} nearest training images, in features "
        f"({found.title}). The number is the distance to the first, as a share of what held-out "
        f"images are from theirs: near 0 is a copy, 1 is usual. Top: the {NEAREST} nearest of "
        f"{DRAWN} samples; below: from there to the farthest."
    )
    told = {"median": float(np.median(found.distances)), "least": float(found.distances.min())}
    numbers = {"nearest_training_images": {**told, "n": DRAWN}}
    picture = _saved(sheet, text, folder / "neighbours.png", family)
    return picture.joined(Findings(numbers=numbers))


def _saved(sheet: Pixels, text: str, path: Path, family: Family) -> Findings:
    return Findings((save_image(path, headed(sheet, text), {"model": family.kind}),))
