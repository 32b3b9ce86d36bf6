"""Train several families alike, measure them alike, and write one report."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint.api.opening import Data, open_images, trained_on, unseen
from mezzotint.api.runs import default_folder, settled_size, spec_of, train
from mezzotint.comparison import Comparison
from mezzotint.comparison.contenders import (
    Contender,
    open_contender,
    require_comparable,
    unequal_cautions,
)
from mezzotint.comparison.stages import Stage, Stages
from mezzotint.comparison.trials import REBUILT, SHOWN, Trial, try_out
from mezzotint.config import at_least, parse_seconds
from mezzotint.data.dataset import Images
from mezzotint.describing import environment
from mezzotint.errors import UsageError
from mezzotint.evaluation import Subject
from mezzotint.evaluation.subject import held_out_drawn
from mezzotint.families import FAMILIES
from mezzotint.features.extractor import Pixels
from mezzotint.features.table import require_extractor
from mezzotint.progress import Progress, Silent
from mezzotint.reporting.page import report_page
from mezzotint.storage.files import make_folder, replace_bytes, replace_json
from mezzotint.training.plans import make_plan
from mezzotint.training.sizes import limit_of, smallest

COMPARED = ("autoencoder", "vae", "gan", "diffusion")
MOMENTS = 6  # of training that the curves show
DRAWS = 64
EVALUATING = 30.0  # seconds a model, until the first one has shown it


@dataclass(frozen=True)
class Compared:
    """A finished comparison.

    Attributes:
        comparison: the numbers, rankings and words.
        report: the page.
        json: the same as data.
    """

    comparison: Comparison
    report: Path
    json: Path


@dataclass(frozen=True)
class _Wanted:
    """What was asked for."""

    families: Sequence[str]
    runs: Sequence[Path]
    training: Mapping[str, Any]
    features: str
    samples: int | None
    limit: int


def compare(
    data: Data,
    runs: Iterable[str | Path] = (),
    families: Iterable[str] | None = None,
    budget: str | float = "10m",
    out: str | Path | None = None,
    seed: int = 0,
    features: str = "data",
    samples: int | None = None,
    limit: int = 2000,
    progress: Progress | None = None,
    **options: Any,
) -> Compared:
    """Train families under one budget, split and seed, and compare them and finished runs.

    The same call goes on with a comparison that was interrupted: what is trained stays.

    Args:
        data: as for :func:`mezzotint.train`.
        runs: finished runs or model folders to compare.
        families: to train; by default all four, or none where runs are named.
        budget: training time of each family.
        out: folder of ``report.html``, ``compare.json`` and a run a family; by default
            ``runs/compare-DATA``.
        seed: of weights, data order and noise.
        features: what looks at the images, as for :func:`mezzotint.evaluate`.
        samples: images to make with each model; by default 1,000, or as many as are held out.
        limit: held-out images at the most.
        progress: where to report.
        options: other options that all families have, such as ``size`` and ``channels``.

    Raises:
        UsageError: fewer than two models, a family twice, or models of other shapes.
        Stopped: a signal came; the same call goes on.
        MezzotintError: as for :func:`mezzotint.train` and :func:`mezzotint.evaluate`.
    """
    at_least(1, samples=samples, limit=limit)
    require_extractor(features)
    places = [Path(run) for run in runs]
    chosen = list(families) if families is not None else [] if places else list(COMPARED)
    training = {**options, "budget": parse_seconds(budget), "seed": seed}
    wanted = _Wanted(chosen, places, training, features, samples, limit)
    _require_wanted(wanted)
    return _compare(wanted, data, out, progress or Silent())


def _require_wanted(wanted: _Wanted) -> None:
    """Find what cannot work before anything is trained."""
    if len(set(wanted.families)) < len(wanted.families):
        raise UsageError("a family stands twice", "families", "name each once")
    if len(wanted.families) + len(wanted.runs) < 2:
        what = "there are fewer than two models to compare"
        raise UsageError(what, "compare", f"families: {', '.join(FAMILIES)}; or name runs")
    for family in wanted.families:
        make_plan(family, None, wanted.training)


def _compare(wanted: _Wanted, data: Data, out: str | Path | None, show: Progress) -> Compared:
    stages = Stages(_stages(wanted), show)
    with stages.next():
        images = _opened(wanted, data, out, stages)
        for family in wanted.families:
            make_plan(family, None, wanted.training).settled(images).build(images)
    folder = Path(out) if out else default_folder("compare", images.spec)
    contenders = list(_contenders(wanted, images, make_folder(folder), stages))
    require_comparable(contenders)
    trials = [_try(wanted, each, images, stages) for each in contenders]
    found = Comparison(
        trials,
        *_pictures(images),
        _data_facts(images),
        _how(wanted, trials),
        unequal_cautions(contenders),
    )
    return _write(found, folder)


def _opened(wanted: _Wanted, data: Data, out: str | Path | None, show: Progress) -> Images:
    """The images, at a size that all families to train do well and earlier ones were trained at."""
    size, channels = _shape(wanted)
    folder = Path(out) if out else default_folder("compare", spec_of(data))
    known = [settled_size(folder / family) for family in wanted.families]
    size = size or next((each for each in known if each is not None), None)
    plans = [make_plan(family, None, wanted.training) for family in wanted.families]
    return open_images(data, size, channels, show, smallest([limit_of(plan) for plan in plans]))


def _shape(wanted: _Wanted) -> tuple[Any, Any]:
    """Size and channels that the images must have: the options', or the first run's."""
    if not wanted.families:
        from mezzotint.runs.loading import load_model

        shape = load_model(wanted.runs[0]).shape
        return shape[1:], shape[0]
    plan = make_plan(wanted.families[0], None, wanted.training)
    return plan.size, plan.channels


def _stages(wanted: _Wanted) -> list[Stage]:
    names = [*wanted.families, *_run_names(wanted.runs)]
    stages = [Stage("reading images", 1.0, steady=True)]
    stages += [Stage(f"training {n}", wanted.training["budget"], True) for n in wanted.families]
    return stages + [Stage(f"evaluating {name}", EVALUATING, False) for name in names]


def _contenders(
    wanted: _Wanted, images: Images, folder: Path, stages: Stages
) -> Iterator[Contender]:
    for family in wanted.families:
        with stages.next():
            train(
                family,
                images,
                folder / family,
                None,
                stages,
                **{"ema_snapshots": MOMENTS, **wanted.training},
            )
        yield open_contender(family, folder / family, images)
    for name, path in zip(_run_names(wanted.runs), wanted.runs, strict=True):
        yield open_contender(name, path, images)


def _run_names(runs: Sequence[Path]) -> list[str]:
    """The runs' folder names; whole paths where two are alike or one is a family's."""
    names = [path.resolve().name for path in runs]
    taken = {*COMPARED, *(name for name in names if names.count(name) > 1)}
    return [str(path) if name in taken else name for path, name in zip(runs, names, strict=True)]


def _try(wanted: _Wanted, contender: Contender, images: Images, stages: Stages) -> Trial:
    side, model = unseen(images), contender.model
    limit = min(wanted.limit, len(side))
    subject = Subject(
        model, side, trained_on(images), limit, wanted.samples, DRAWS, wanted.features, stages
    )
    with stages.next():
        return try_out(contender, subject)


def _pictures(images: Images) -> tuple[Pixels, Pixels]:
    """Real images to look at beside samples, and those that are rebuilt."""
    drawn = held_out_drawn(unseen(images), SHOWN)
    return drawn, drawn[:REBUILT]


def _data_facts(images: Images) -> dict[str, Any]:
    told = {"spec": images.spec, "fingerprint": images.fingerprint, "facts": images.describe()}
    return {**told, "train": len(images.train), "held_out": len(images.held_out)}


def _how(wanted: _Wanted, trials: Sequence[Trial]) -> dict[str, Any]:
    values = [value for trial in trials for value in trial.found.values() if value.features]
    about, training = environment(), wanted.training
    return {
        "budget_seconds": training["budget"] if wanted.families else None,
        "seed": training["seed"] if wanted.families else None,
        "options": {k: str(v) for k, v in training.items() if k not in ("budget", "seed")},
        "extractor": values[0].features if values else wanted.features,
        "resize": values[0].resize if values else "",
        "n": values[0].n if values else 0,
        "versions": about["versions"],
        "machine": {name: about[name] for name in ("system", "cpus", "threads", "cuda")},
    }


def _write(found: Comparison, folder: Path) -> Compared:
    report, data = folder / "report.html", folder / "compare.json"
    replace_json(data, found.as_dict())
    replace_bytes(report, report_page(found).encode())
    return Compared(found, report, data)
