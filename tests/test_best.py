"""A run that ends clearly worse than it was gives its best averages, and says so."""

from pathlib import Path

import pytest
import torch
import training_kit as kit

from mezzotint import api
from mezzotint.errors import TrainingError
from mezzotint.metrics.collapse import Signals
from mezzotint.runs import best
from mezzotint.runs.best import Best
from mezzotint.storage.weights import load_tensors
from mezzotint.training import watching
from mezzotint.training.watching import Yardstick

TINY = {"widths": (8, 16), "latent": 6, "groups": 0, "batch": 32, "images": 32 * 8}
TINY |= {"previews": 4, "log_every": 2}
HEALTHY = {"recall": 0.8, "density": 0.5, "vendi": 0.9, "pairwise": 0.9, "modes": 0.9}
HEALTHY |= {"duplicates": 0.0}


class Said:
    """Progress that remembers."""

    def __init__(self):
        self.text = ""

    def say(self, text):
        self.text += text + "\n"

    def update(self, done, total, note="", left=None):
        pass

    def close(self):
        pass


@pytest.fixture(autouse=True)
def at_hand(yardstick, monkeypatch):
    monkeypatch.setattr(watching, "take_yardstick", lambda data: yardstick)


def script(monkeypatch, coverages):
    """Looks at the images of a run see these coverages in turn."""
    turn = iter(coverages)

    def measure(self, pixels):
        coverage = next(turn)
        return Signals(**{**HEALTHY, "coverage": coverage, "density": max(coverage, 0.5)})

    monkeypatch.setattr(Yardstick, "measure", measure)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(run / "model/model.safetensors")


def same(first, second) -> bool:
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_the_best_averages_are_given_where_the_end_is_clearly_worse(digits, monkeypatch, tmp_path):
    script(monkeypatch, [0.5, 0.8, 0.75, 0.6])
    said, run = Said(), tmp_path / "run"
    model = api.train("gan", digits, run, progress=said, **TINY).model
    assert best.kept(run / "averages") == Best(0.8, 128)
    stored = best.averages(run / "averages")
    assert same(weights(run), stored)
    assert same({k: v.cpu() for k, v in model.state_dict().items()}, stored)
    assert not same(kit.newest(run).tensors["ema"], stored)
    told = "at 128 images samples covered 0.80 of what real ones do, at the end 0.60"
    assert told in said.text
    card = (run / "model/README.md").read_text()
    assert "EMA as it was when training had come to 128 images" in card
    assert "the numbers above are of the end" in card


def test_what_may_be_chance_undoes_no_training(digits, monkeypatch, tmp_path):
    script(monkeypatch, [0.5, 0.8, 0.75, 0.71])
    said, run = Said(), tmp_path / "run"
    api.train("gan", digits, run, progress=said, **TINY)
    assert same(weights(run), kit.newest(run).tensors["ema"])
    assert "covered" not in said.text


def test_without_the_watch_nothing_is_kept(digits, tmp_path):
    api.train("gan", digits, tmp_path / "run", watch=False, **TINY)
    assert not (tmp_path / "run/averages").exists()


def test_damaged_averages_cost_a_warning(digits, monkeypatch, tmp_path):
    script(monkeypatch, [0.8, 0.7, 0.6, 0.5])
    write = best.keep

    def keep(folder, found, tensors):
        write(folder, found, tensors)
        (folder / best.NAME).write_bytes(b"broken")

    monkeypatch.setattr(best, "keep", keep)
    said, run = Said(), tmp_path / "run"
    api.train("gan", digits, run, progress=said, **TINY)
    assert "the model is that of the end" in said.text
    assert same(weights(run), kit.newest(run).tensors["ema"])
    assert best.kept(run / "averages") is None


def train_until_too_late(monkeypatch, digits, run, coverage, said):
    """The last look finds a collapse, and no look before it gave a place to go back to."""
    turn = iter([{"modes": 0.4, "vendi": 0.4}, {"pairwise": 0.01, "duplicates": 1.0}])

    def measure(self, pixels):
        return Signals(**{**HEALTHY, "coverage": coverage, **next(turn)})

    clock = iter(0.2 * n for n in range(1, 10**6))
    monkeypatch.setattr(Yardstick, "measure", measure)
    monkeypatch.setattr("mezzotint.training.loop.time.perf_counter", lambda: next(clock))
    options = {**TINY, "images": None, "budget": 1.6, "previews": 2, "log_every": 1}
    api.train("gan", digits, run, progress=said, **options)


def test_a_run_without_time_to_begin_anew_gives_what_was_best(digits, monkeypatch, tmp_path):
    said, run = Said(), tmp_path / "run"
    train_until_too_late(monkeypatch, digits, run, 0.4, said)
    assert "the earlier weights are kept" in said.text
    assert same(weights(run), best.averages(run / "averages"))
    [event] = [line["event"] for line in kit.history(run) if "event" in line]
    assert event["what"].startswith("all samples are alike")


def test_where_nothing_good_was_seen_the_run_ends_with_its_report(digits, monkeypatch, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(TrainingError, match="no time is left to begin anew"):
        train_until_too_late(monkeypatch, digits, run, 0.1, Said())
    assert best.kept(run / "averages") == Best(0.1, 128)
    assert not (run / "model").exists()


@pytest.mark.parametrize("fault", ["best.done:1", "tensors.rename:1", "step.update:9"])
def test_a_killed_run_keeps_the_same_best(fault, tmp_path):
    unbroken, run = kit.reference("gan"), tmp_path / "run"
    assert kit.train("gan", run, fault, hurt={}).code == kit.KILLED
    assert kit.train("gan", run).code == 0
    kit.require_equal(run, unbroken)
    ours, theirs = (folder / "averages" / best.NAME for folder in (run, unbroken))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_run_that_begins_anew_forgets_what_another_left(digits, monkeypatch, tmp_path):
    folder = tmp_path / "run/averages"
    best.keep(folder, Best(0.99, 10**6), {"weight": torch.ones(2)})
    script(monkeypatch, [0.5, 0.6, 0.7, 0.8])
    api.train("gan", digits, tmp_path / "run", **TINY)
    assert best.kept(folder) == Best(0.8, 256)
    assert same(weights(tmp_path / "run"), best.averages(folder))


@pytest.mark.parametrize("harm", [b"", b"x" * 100, None], ids=["empty", "other", "short"])
def test_what_is_not_whole_is_not_kept(harm, tmp_path):
    best.keep(tmp_path, Best(0.5, 7), {"weight": torch.ones(2)})
    assert best.kept(tmp_path) == Best(0.5, 7)
    assert torch.equal(best.averages(tmp_path)["weight"], torch.ones(2))
    path = tmp_path / best.NAME
    path.write_bytes(path.read_bytes()[:-9] if harm is None else harm)
    assert best.kept(tmp_path) is None
    best.forget(tmp_path)
    assert not path.exists()
