"""What a run looks at now and then, and what it leaves out."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import mezzotint as mz
from mezzotint.runs.folder import RunFolder
from mezzotint.training.evaluations import Evaluations
from mezzotint.training.recipe import Recipe
from mezzotint.training.records import Record

TINY: dict[str, Any] = {"widths": (8, 16), "latent": 4, "batch": 64, "log_every": 1}


def looks(recipe: Recipe, spent: float, watched: bool = False) -> Evaluations:
    """Looks of a run whose other parts are not asked."""
    watch, none = SimpleNamespace(active=watched), cast("Any", None)
    folder = cast("Any", SimpleNamespace(averages=Path("nowhere")))
    found = Evaluations(none, none, folder, none, cast("Any", watch), recipe, none)
    found.spent = spent
    return found


def record(progress: float, seconds: float = 100.0) -> Record:
    return Record(1000, 10, progress, seconds, {}, 1.0, stop=False)


def test_looks_are_spread_evenly_and_the_last_is_at_the_end():
    found = looks(Recipe(images=1000, previews=4), 0.0)
    assert [found.due(record(at)) for at in (0.2, 0.25, 0.3)] == [False, True, True]
    found.count(0.3)
    assert [found.due(record(at)) for at in (0.3, 0.5, 1.0)] == [False, True, True]


@pytest.mark.parametrize(
    ("length", "watched", "wanted"),
    [
        ({"budget": 200.0}, False, False),
        ({"budget": 200.0}, True, True),  # the collapse watch has looks of its own to make
        ({"images": 2000}, False, True),  # a length in images leaves nothing to chance
    ],
)
def test_looks_take_a_tenth_of_a_time_budget(length: Any, watched: bool, wanted: bool):
    recipe = Recipe(previews=10, **length)
    assert looks(recipe, 11.0, watched).due(record(0.5)) == wanted
    assert looks(recipe, 10.0, watched).due(record(0.5))
    assert looks(recipe, 11.0, watched).due(record(1.0))


def test_a_run_without_previews_draws_no_samples_and_keeps_its_numbers(digits, tmp_path):
    mz.train("vae", digits, out=tmp_path / "run", images=640, previews=0, **TINY)
    assert not list((tmp_path / "run" / "samples").glob("*"))
    assert (tmp_path / "run" / "curve.png").is_file()
    lines = RunFolder(tmp_path / "run").lines()
    assert ["validation_loss" in line for line in lines] == [False] * (len(lines) - 1) + [True]
