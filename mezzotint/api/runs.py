"""Train a model, or open a trained one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mezzotint.api.opening import Data, open_images
from mezzotint.api.staging import adopt, foundation, needs_foundation
from mezzotint.api.tuning import tunes, tuning
from mezzotint.config import parse_size
from mezzotint.data.dataset import Images
from mezzotint.errors import UsageError
from mezzotint.families import FAMILIES, family_class
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Distils
from mezzotint.progress import Progress, Silent
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.loading import load_model
from mezzotint.training.plans import make_plan, require_same, run_header
from mezzotint.training.previews import pictures
from mezzotint.training.session import Session
from mezzotint.training.sizes import limit_of

SHARE = 0.25  # of the teacher's training time
LEAST_TILE, MOST_TILE = 32, 1024
WHOLE = 1e-5  # rate of all weights of a pipeline, as diffusers' script has it
FURTHER = {"optimizer": "adam", "lr": 1e-4}  # weights that are good already move slowly


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
    start: str | Path | None = None,
    lora: bool = False,
    tile: int | None = None,
    **options: Any,
) -> Run:
    """Train a model, or go on with the training found in ``out``.

    Args:
        family: ``autoencoder``, ``vae``, or a model instance to train.
        data: a name, folder, archive or array file; or ``Images``.
        out: the run folder; by default ``runs/FAMILY-DATA``.
        preset: named options of the family.
        progress: where to report; by default nowhere.
        start: a run, model or pipeline folder of the family whose model is trained further; it
            stays as it is. The rate is then low unless given (``lr=1e-4``).
        lora: let a Stable Diffusion pipeline of ``start`` learn low-rank products (``rank=8``) in
            place of all weights of its U-Net.
        tile: cut pictures into squares of this side instead of shrinking them, so that details keep
            their size; ``detect`` then scans pictures by such tiles.
        options: options of the model (``latent=64``) and of training (``images="2M"``,
            ``budget="10m"``, ``batch=64``, ``seed=1``, ``lr=1e-3``).

    Raises:
        MezzotintError: see :mod:`mezzotint.errors`; nothing already written is lost.
    """
    show = progress or Silent()
    family, preset, options = _begun(family, preset, start, lora, options)
    plan = make_plan(family, preset, options)
    require_tile(tile, plan.size)
    size = plan.size or settled_size(Path(out or default_folder(plan.kind.kind, spec_of(data))))
    images = open_images(data, size, plan.channels, show, limit_of(plan), tile)
    folder = RunFolder(Path(out) if out else default_folder(plan.kind.kind, images.spec))
    plan = plan.settled(images)
    for line in filter(None, [*images.describe(), plan.told(images), *plan.said]):
        show.say(line)
    model = plan.build(images)  # what is wrong with it is said before anything is trained
    if needs_foundation(plan):
        plan, base, show = foundation(plan, images, folder.path, show, train)
        model = plan.build(images)
        adopt(model, base)
    recipe = plan.recipe_for(images)
    header = run_header(model, recipe, images, tile)
    if folder.exists():
        require_same(folder.header(), header, str(folder.path))
    if folder.finished():
        show.say(f"{folder.path} is finished already")
        return Run(load_model(folder.path), folder.path)
    Session(model, images, recipe, folder, header, show).run()
    return Run(model, folder.path)


def _begun(
    family: str | Family,
    preset: str | None,
    start: str | Path | None,
    lora: bool,
    options: Mapping[str, Any],
) -> tuple[str | Family, str | None, dict[str, Any]]:
    """Family, preset and options of a training that may go on from a model.

    Raises:
        MezzotintError: the model cannot be opened, or is none to go on from.
    """
    if lora or tunes(family, start):
        whole = {} if lora else {"rank": 0, "lr": WHOLE}
        family, options = tuning(family, start, {**whole, **options})
        return family, preset or "default", dict(options)
    if start is not None:
        return _started(family, start), preset, {**FURTHER, **options}
    return family, preset, dict(options)


def require_tile(tile: int | None, size: tuple[int, int] | None) -> None:
    """Check the side of tiles to train on.

    Raises:
        UsageError: it is not one that a model can have, or not the size that is asked for.
    """
    if tile is None:
        return
    if not LEAST_TILE <= tile <= MOST_TILE:
        what = f"a tile of {tile} pixels"
        raise UsageError(what, "tile", f"give {LEAST_TILE} to {MOST_TILE}; 256 suits two cores")
    if size not in (None, (tile, tile)):
        raise UsageError(f"a tile of {tile} and another size", "tile", "leave --size off")


def _started(family: str | Family, start: str | Path) -> Family:
    """The model to train further.

    Raises:
        UsageError: it is of another family, or there are two models.
    """
    if isinstance(family, Family):
        raise UsageError("two models to start from", "start", "give a family's name with start")
    model = load_model(start)
    if model.kind != family_class(family).kind:
        raise UsageError(f"this is a {model.kind}", str(start), f"train {model.kind} from it")
    return model


def distill(
    run: str | Path | Run,
    data: Data,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Tune a finished diffusion run until it samples in one or two steps (2403.06807).

    Args:
        run: the teacher; it stays as it is.
        data: what the teacher was trained on.
        out: the new run's folder; by default the teacher's with ``-distilled``.
        progress: where to report.
        options: of training; without ``images`` or ``budget`` a quarter of the teacher's time.

    Raises:
        UsageError: the run is no diffusion run.
        MezzotintError: as for :func:`train`.
    """
    teacher = RunFolder(Path(run.path if isinstance(run, Run) else run))
    model = load_model(teacher.path)
    if not isinstance(model, Distils):
        raise _cannot_distil(model.kind)
    student, tuning = model.student()
    if not {"images", "budget"} & options.keys():
        options["budget"] = SHARE * _seconds(teacher)
    folder = Path(out) if out else teacher.path.with_name(f"{teacher.path.name}-distilled")
    return train(student, data, folder, None, progress, **{**tuning, **options})


def require_distils(family: str) -> None:
    """Check that models of a family can be distilled.

    Raises:
        UsageError: they cannot, or there is no such family.
    """
    if not issubclass(family_class(family), Distils):
        raise _cannot_distil(family)


def _cannot_distil(family: str) -> UsageError:
    able = ", ".join(name for name in FAMILIES if issubclass(family_class(name), Distils))
    return UsageError(f"{family} cannot be distilled", where="distill", fix=f"families: {able}")


def _seconds(run: RunFolder) -> float:
    """How long a run has trained."""
    lines = run.lines()
    if not lines:
        what = "the history that says how long the teacher trained is not here"
        raise UsageError(what, str(run.path), "give images or budget")
    return float(lines[-1]["seconds"])


def settled_size(folder: Path) -> tuple[int, int] | None:
    """The size a run was started at, which it keeps on any machine; None where there is no run."""
    run = RunFolder(folder)
    size = run.header().get("model", {}).get("size") if run.exists() else None
    return None if size is None else parse_size(size)


def spec_of(data: Data) -> str:
    """What the user named."""
    return data.spec if isinstance(data, Images) else str(data)


def default_folder(kind: str, spec: str) -> Path:
    """``runs/vae-photos`` for a VAE on ``some/photos``."""
    stem = Path(spec.rstrip("/").partition(":")[2] or spec).stem or "data"
    return Path("runs") / f"{kind}-{stem}"


def load(path: str | Path, **modules: nn.Module) -> Family:
    """The averaged model of a run or model folder; as :mod:`mezzotint.runs.loading` says."""
    return load_model(path, **modules)
