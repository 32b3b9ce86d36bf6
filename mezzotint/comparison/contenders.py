"""The models of a comparison, and what their runs tell about them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.data.dataset import Images
from mezzotint.errors import UsageError
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Settles
from mezzotint.runs import snapshots
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.loading import load_model, require_contained
from mezzotint.storage.weights import load_into
from mezzotint.training.profiles import WIDTHS


@dataclass(frozen=True)
class Contender:
    """A model that is compared.

    Attributes:
        name: unlike any other one's in the comparison.
        model: averaged, ready to use.
        path: the run or model folder.
        seconds: how long it was trained; None where that is not known.
        images: it has seen in training; None where that is not known.
        settings: how it was trained, where that is known.
        cautions: what makes the comparison less than fair, whole sentences.
    """

    name: str
    model: Family
    path: Path
    seconds: float | None = None
    images: int | None = None
    settings: Mapping[str, Any] | None = None
    cautions: tuple[str, ...] = ()


def open_contender(name: str, path: Path, data: Images) -> Contender:
    """The model of a run or model folder, with what the run tells.

    Raises:
        MissingInputError, ConfigError, DataError, RefusedError: there is no model, or a bad one.
    """
    model, run = load_model(path), RunFolder(path)
    if not run.exists():
        caution = "It is not known which images it was trained on, perhaps the held-out ones too."
        return Contender(name, model, path, cautions=(caution,))
    header, lines = run.header(), run.lines()
    last = lines[-1] if lines else {}
    cautions = [text for holds, text in CAUTIONS if holds(run, header, data)]
    known = (last.get("seconds"), last.get("images"), header.get("recipe"))
    return Contender(name, model, path, *known, tuple(cautions))


Doubt = Callable[[RunFolder, Mapping[str, Any], Images], bool]
CAUTIONS: tuple[tuple[Doubt, str], ...] = (
    (lambda run, header, data: not run.finished(), "Its training is not finished."),
    (
        lambda run, header, data: header.get("data", {}).get("fingerprint") != data.fingerprint,
        "It was trained on other images or another split, and may have seen the held-out ones.",
    ),
)


def require_comparable(contenders: Sequence[Contender]) -> None:
    """Check that there is something to compare.

    Raises:
        UsageError: fewer than two models, or images of different shapes.
    """
    if len(contenders) < 2:
        what = "there are fewer than two models to compare"
        raise UsageError(what, "compare", "name two families or runs, or use evaluate")
    shapes = {each.model.shape for each in contenders}
    if len(shapes) > 1:
        told = [f"{each.name} {_shape(each.model.shape)}" for each in contenders]
        raise UsageError(
            f"the models make images of different shapes: {', '.join(told)}",
            "compare",
            "train them at one --size and --channels",
        )


def _shape(shape: tuple[int, int, int]) -> str:
    return f"{shape[2]}x{shape[1]} with {shape[0]} channels"


def unequal_cautions(contenders: Sequence[Contender]) -> list[str]:
    """Sentences about what was not the same for all of them."""
    told = []
    for option, words in (("budget", "the same budget"), ("seed", "the same seed")):
        known = [each.settings.get(option) if each.settings else None for each in contenders]
        if len(set(map(str, known))) > 1:
            told.append(f"The models were not trained with {words}.")
    return told


def moments(contender: Contender) -> Iterator[tuple[float, Family]]:
    """The averaged model at the moments a run kept, with the seconds of training up to then.

    The final moment is left out: it is the model itself. The same object comes every time, with
    other weights; it is not the contender's.

    Raises:
        DataError, RefusedError: a file of averages is damaged or leads out of its folder.
    """
    run = RunFolder(contender.path)
    if not run.exists() or not run.lines():
        return
    require_contained(run)
    counts, seconds = zip(*((line["images"], line["seconds"]) for line in run.lines()), strict=True)
    stored = [each for each in snapshots.listing(run.averages) if _images(each) < counts[-1]]
    model = load_model(contender.path) if stored else contender.model
    for each in stored:
        _put(model, each)
        yield float(np.interp(_images(each), (0, *counts), (0, *seconds))), model


def _images(snapshot: snapshots.Snapshot) -> int:
    return int(snapshot.path.stem)


def _put(model: Family, snapshot: snapshots.Snapshot) -> None:
    load_into(model, snapshots.stored(snapshot, WIDTHS[0]), snapshot.path)
    model.eval()
    if isinstance(model, Settles):
        model.settle()
