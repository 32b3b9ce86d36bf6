"""What a user can do, one function each; the command line and the server call these and no more."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mezzotint.config import at_least
from mezzotint.data import doctor, doctor_table, store
from mezzotint.data.dataset import Images
from mezzotint.data.doctor_report import Checkup
from mezzotint.data.sources import open_source
from mezzotint.data.store import load_images
from mezzotint.describing import describe, environment
from mezzotint.errors import UsageError
from mezzotint.evaluation import Value, measure
from mezzotint.families.base import Family, Reconstructs, Samples
from mezzotint.images import save_image, save_images, to_uint8
from mezzotint.progress import Progress, Silent
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.loading import load_model
from mezzotint.seeds import image_seeds
from mezzotint.training.plans import make_plan, require_same, run_header
from mezzotint.training.previews import damaged, rebuilt, reconstruction_sheet
from mezzotint.training.session import Session, pictures

__all__ = [
    "Run",
    "check",
    "checkup_table",
    "describe",
    "environment",
    "evaluate",
    "load",
    "load_images",
    "pack",
    "reconstruct",
    "sample",
    "train",
]

Data = str | Path | Images


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        model: the averaged model, ready to use.
        path: the run folder.
    """

    model: Family
    path: Path

    @property
    def history(self) -> list[dict[str, Any]]:
        """The records of ``history.jsonl``."""
        return RunFolder(self.path).lines()

    @property
    def pictures(self) -> list[Path]:
        """The newest preview of each kind and the curve."""
        return pictures(RunFolder(self.path))


def train(
    family: str | Family,
    data: Data,
    out: str | Path | None = None,
    preset: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Train a model, or go on with the training found in ``out``.

    Args:
        family: ``autoencoder``, ``vae``, or a model instance to train.
        data: a name, folder, archive or array file; or ``Images``.
        out: the run folder; by default ``runs/FAMILY-DATA``.
        preset: named options of the family.
        progress: where to report; by default nowhere.
        options: options of the model (``latent=64``) and of training (``images="2M"``,
            ``budget="10m"``, ``batch=64``, ``seed=1``, ``lr=1e-3``).

    Raises:
        MezzotintError: see :mod:`mezzotint.errors`; nothing already written is lost.
    """
    show = progress or Silent()
    plan = make_plan(family, preset, options)
    images = _images(data, plan.size, plan.channels, show)
    model = plan.build(images)
    folder = RunFolder(Path(out) if out else default_folder(model.kind, images.spec))
    header = run_header(model, plan.recipe, images)
    if folder.exists():
        require_same(folder.header(), header, str(folder.path))
    for line in images.describe():
        show.say(line)
    if folder.finished():
        show.say(f"{folder.path} is finished already")
        return Run(load_model(folder.path), folder.path)
    Session(model, images, plan.recipe, folder, header, show).run()
    return Run(model, folder.path)


def default_folder(kind: str, spec: str) -> Path:
    """``runs/vae-photos`` for a VAE on ``some/photos``."""
    stem = Path(spec.rstrip("/").partition(":")[2] or spec).stem or "data"
    return Path("runs") / f"{kind}-{stem}"


def load(path: str | Path, **modules: nn.Module) -> Family:
    """The averaged model of a run or model folder; as :mod:`mezzotint.runs.loading` says."""
    return load_model(path, **modules)


def sample(
    model: str | Path | Family,
    n: int = 64,
    seed: int = 0,
    out: str | Path | None = None,
    batch: int = 64,
    **options: Any,
) -> Any:
    """New images from a model.

    Args:
        model: a run folder, a model folder or a model.
        n: how many.
        seed: image i has the seed ``seed + i`` and depends on nothing else.
        out: ``.png`` for a grid, ``.npz`` for arrays, else a folder with a file an image.
        batch: images at a time; changes no pixel.
        options: what the family's ``sample`` takes.

    Returns:
        uint8 (n, H, W, C).

    Raises:
        UsageError: the family has no distribution to sample from.
    """
    at_least(1, n=n, batch=batch)
    family = _model(model)
    if not isinstance(family, Samples):
        raise UsageError(
            f"{family.kind} has no distribution to sample from",
            where=str(model) if not isinstance(model, Family) else "",
            fix="train a vae to sample, or use reconstruct",
        )
    seeds = image_seeds(seed, n)
    pixels = to_uint8(family.sample(seeds, batch=batch, **options))
    if out is not None:
        save_images(out, pixels, seeds, metadata={"model": family.kind, "seed": seed, **options})
    return pixels


def reconstruct(
    model: str | Path | Family,
    data: Data,
    n: int | None = 64,
    noise: float | None = None,
    out: str | Path | None = None,
) -> Any:
    """A model's version of images it was not trained on.

    Args:
        model: a run folder, a model folder or a model.
        data: images; of a set with a held-out side, those are used.
        n: how many at the most; None for all.
        noise: damage the images with this strength first and rebuild them from that.
        out: ``.png`` for originals above damaged above rebuilt; ``.npz`` for the arrays
            ``images``; else a folder with a file an image.

    Returns:
        uint8 (n, H, W, C).

    Raises:
        UsageError: the family does not reconstruct.
    """
    at_least(1, n=n)
    at_least(0, noise=noise)
    family = _model(model)
    if not isinstance(family, Reconstructs):
        raise UsageError(f"{family.kind} does not reconstruct")
    images = _images(data, family.shape[1:], family.shape[0], Silent())
    side = images.held_out if len(images.held_out) else images
    rows = range(len(side) if n is None else min(n, len(side)))
    originals = side.gather(rows)
    pixels = rebuilt(family, damaged(family, originals, noise))
    if out is not None and Path(out).suffix.lower() == ".png":
        save_image(out, reconstruction_sheet(family, originals, noise), {"model": family.kind})
    elif out is not None:
        save_images(out, pixels, rows, metadata={"model": family.kind})
    return pixels


def evaluate(
    model: str | Path | Family, data: Data, samples: int = 64, limit: int | None = 2000
) -> dict[str, Value]:
    """Measure a model on images it was not trained on.

    Args:
        model: a run folder, a model folder or a model.
        data: images; of a set with a held-out side, those are used.
        samples: K of the importance-weighted bound.
        limit: images at the most; None for all.

    Returns:
        Name -> value, 95% interval, n and unit.
    """
    at_least(1, samples=samples, limit=limit)
    family = _model(model)
    images = _images(data, family.shape[1:], family.shape[0], Silent())
    side = images.held_out if len(images.held_out) else images
    count = len(side) if limit is None else min(limit, len(side))
    return measure(family, side.gather(range(count)), samples)


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
    return doctor.check(open_source(data), progress=_counter(show, "image"), strict=strict)


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
    show = _counter(progress or Silent(), "image")
    return store.pack(data, Path(out), size=size, channels=channels, progress=show)


def _counter(show: Progress, noun: str) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        show.update(done, total, note=f"{noun} {done:,} of {total:,}")

    return report


def _model(model: str | Path | Family) -> Family:
    return model if isinstance(model, Family) else load_model(model)


def _images(
    data: Data, size: tuple[int, int] | None, channels: int | None, show: Progress
) -> Images:
    """Load images, or check that loaded ones have the model's shape."""
    if not isinstance(data, Images):
        counter = _counter(show, "reading image")
        return load_images(data, size=size, channels=channels, progress=counter)
    fits = size in (None, data.size) and channels in (None, data.channels)
    if not fits:
        raise UsageError(
            f"the images are {data.size} with {data.channels} channels, "
            f"the model wants {size or data.size} with {channels or data.channels}",
            fix="load_images(path, size=..., channels=...)",
        )
    return data
