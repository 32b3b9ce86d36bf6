"""Look at a set of images, pack it, and measure models on it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mezzotint import inspection
from mezzotint.api.opening import (
    Data,
    counter,
    open_images,
    open_model,
    trained_on,
    unseen,
)
from mezzotint.config import at_least, override
from mezzotint.data import doctor, doctor_table, store
from mezzotint.data.dataset import Images
from mezzotint.data.doctor_report import Checkup
from mezzotint.data.sources import open_source
from mezzotint.errors import UsageError
from mezzotint.evaluation import Evaluation, Subject, measure
from mezzotint.evaluation.table import tabulated
from mezzotint.families.base import Family
from mezzotint.features.table import require_extractor
from mezzotint.inspection.findings import Findings
from mezzotint.inspection.mapping import MOST_POINTS, POINTS
from mezzotint.inspection.projecting import FEWEST, require_maps
from mezzotint.progress import Progress, Silent
from mezzotint.reporting.latents import write_latents
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.loading import keep_settings


def inspect(
    model: str | Path | Family,
    data: Data,
    out: str | Path | None = None,
    progress: Progress | None = None,
    maps: Sequence[str] | None = None,
    points: int = POINTS,
) -> Findings:
    """Draw what a model has learnt, and let it sample by the settings found best.

    Args:
        model: a run folder, a model folder or a model.
        data: images; of a set with a held-out side, those are used.
        out: folder of the pictures; by default ``inspection`` in the run or model folder.
        progress: where to report.
        maps: ``pca``, ``tsne``, ``umap`` of a model that encodes; None: all that are installed.
        points: images on the maps at the most, 5 to 20,000.

    Raises:
        UsageError: there is no such map, or too many points.
        MissingExtraError: UMAP is asked for and not installed.
        StorageError, CannotCreateError: a picture or the settings cannot be written.
    """
    show = progress or Silent()
    require_maps(maps)
    if not FEWEST <= points <= MOST_POINTS:
        fix = f"a number from {FEWEST} to {MOST_POINTS}"
        raise UsageError(f"points={points}", where="points", fix=fix)
    family = open_model(model)
    images = unseen(open_images(data, family.shape[1:], family.shape[0], show))
    place = Path("." if isinstance(model, Family) else model)
    folder = Path(out or place / "inspection")
    found = inspection.inspect(family, images, folder, show, maps, points, _history(model))
    if found.latents is not None and found.latents.maps:
        page = write_latents(found.latents, folder)
        found = replace(found, pictures=(*found.pictures, page))
    if not found.recommended:
        return found
    family.config = override(family.config, found.recommended)
    on_disk = not isinstance(model, Family)
    return replace(found, saved=on_disk and keep_settings(place, found.recommended))


def _history(model: str | Path | Family) -> list[dict[str, Any]]:
    """The lines of a run's history; none of a model or a model folder."""
    run = None if isinstance(model, Family) else RunFolder(Path(model))
    return run.lines() if run is not None and run.exists() else []


def evaluate(
    model: str | Path | Family,
    data: Data,
    features: str = "data",
    samples: int | None = None,
    limit: int | None = 2000,
    draws: int = 64,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on images it was not trained on, and its samples against them.

    Args:
        model: a run folder, a model folder or a model.
        data: what the model was trained on; of a set with a held-out side, that is compared with.
        features: what looks at the images: ``data``, ``effnet-lite0`` or ``pixels``.
        samples: images to make; by default 1,000, or as many as there are to compare with.
        limit: held-out images at the most; None for all.
        draws: K of the importance-weighted bound.
        progress: where to report.

    Returns:
        Name -> value, 95% interval, n, unit, extractor and floor; and why others are missing.

    Raises:
        UsageError: there are no such features, or more samples than images to compare with.
        MissingExtraError, DataError: the extractor's weights are not there, or others.
        MezzotintError: the model or the data cannot be read.
    """
    at_least(1, limit=limit, draws=draws, samples=samples)
    require_extractor(features)
    show = progress or Silent()
    family = open_model(model)
    images = open_images(data, family.shape[1:], family.shape[0], show)
    side = unseen(images)
    at_most = len(side) if limit is None else min(limit, len(side))
    seen = trained_on(images)
    return measure(Subject(family, side, seen, at_most, samples, draws, features, show))


def evaluation_table(found: Evaluation) -> str:
    """An evaluation as text for people."""
    return tabulated(found)


def check(data: str | Path, strict: bool = False, progress: Progress | None = None) -> Checkup:
    """Look for corrupt, duplicate, leaking, mixed or unbalanced images.

    Args:
        data: anything ``train`` takes but loaded images.
        strict: a file that cannot be used is an error, not a warning.
        progress: where to report.

    Raises:
        MissingInputError, DataError: there are no images to look at.
    """
    show = progress or Silent()
    return doctor.check(open_source(data), progress=counter(show, "image"), strict=strict)


def checkup_table(found: Checkup) -> str:
    """A checkup as text for people."""
    return doctor_table.table(found)


def pack(
    data: str | Path,
    out: str | Path,
    size: int | str | None = None,
    channels: int | None = None,
    progress: Progress | None = None,
) -> Images:
    """Write images as one packed folder, which loads at once and needs the originals no more.

    Raises:
        CannotCreateError, StorageError: the folder cannot be written.
    """
    show = counter(progress or Silent(), "image")
    return store.pack(data, Path(out), size=size, channels=channels, progress=show)
