"""The collapse watch: forced generators are flagged, real images never, and a run goes back."""

import json

import numpy as np
import pytest
import torch
import training_kit as kit

from mezzotint import api
from mezzotint.errors import CollapseError, TrainingError
from mezzotint.families.gan import GAN
from mezzotint.images import to_float
from mezzotint.metrics import collapse
from mezzotint.training.models import settle
from mezzotint.training.plans import make_plan

TINY = {"widths": (8, 16), "latent": 6, "groups": 0, "batch": 32, "images": 32 * 8}
TINY |= {"previews": 4, "log_every": 2}


def constant(train, draw):
    return np.repeat(draw.integers(len(train), size=1), 180)


def three_classes(train, draw):
    kept = draw.permutation(10)[:3]
    return draw.choice(np.flatnonzero(np.isin(train.labels_of(range(len(train))), kept)), 180)


def fifty_copies(train, draw):
    return draw.choice(draw.permutation(len(train))[:50], 180)


FORCED = [constant, three_classes, fifty_copies]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("forced", FORCED)
def test_forced_generators_are_flagged_at_once(forced, seed, digits, yardstick):
    rows = forced(digits.train, np.random.default_rng(seed))
    assert collapse.alarm(yardstick.measure(digits.train.gather(rows)), {}, 1)


@pytest.mark.parametrize("seed", range(10))
def test_held_out_images_are_never_flagged(seed, digits, yardstick):
    rows = np.random.default_rng(seed).permutation(180)
    signals = yardstick.measure(digits.held_out.gather(rows))
    assert collapse.alarm(signals, {}, 10**6) == ""
    assert min(signals.classes, signals.modes, signals.evenness, signals.vendi) > 0.8
    assert signals.copied < 0.05


@pytest.mark.parametrize("preset", GAN.presets)
def test_an_untrained_generator_is_not_flagged(preset, yardstick):
    torch.manual_seed(0)
    model = GAN(**{**_model_options(preset), "size": (16, 16), "groups": 0})
    settle(model)  # batch norms, as before every evaluation
    pixels = ((model.sample(range(180)).permute(0, 2, 3, 1) + 1) * 127.5).byte().numpy()
    assert collapse.alarm(yardstick.measure(pixels), {}, 10) == ""


def _model_options(preset):
    return make_plan("gan", preset, {}).model


def test_one_signal_alone_is_no_alarm():
    healthy = {"coverage": 0.9, "recall": 0.9, "density": 1.0, "vendi": 0.9, "pairwise": 0.9}
    healthy |= {"modes": 0.9, "duplicates": 0.0}
    assert collapse.alarm(collapse.Signals(**healthy), {}, 1) == ""
    for name in ("vendi", "pairwise", "modes"):
        assert collapse.alarm(collapse.Signals(**healthy | {name: 0.01}), {}, 1) == ""
    assert collapse.alarm(collapse.Signals(**healthy | {"vendi": 0.3, "modes": 0.3}), {}, 1)


def test_three_classes_seen_through_a_bad_classifier_are_three():
    mistakes = np.full((10, 10), 0.4 / 9)
    mistakes[np.diag_indices(10)] = 0.6
    true = np.zeros(10)
    true[:3] = 1 / 3
    found = collapse.effective(collapse.true_shares(mistakes @ true, mistakes))
    assert found == pytest.approx(3)


def _force(monkeypatch, pixels):
    images = to_float(pixels)
    monkeypatch.setattr(GAN, "sample", lambda self, seeds, **options: images[: len(list(seeds))])


@pytest.mark.parametrize("forced", FORCED)
def test_a_run_goes_back_three_times_and_stops(forced, digits, monkeypatch, tmp_path):
    _force(monkeypatch, digits.train.gather(forced(digits.train, np.random.default_rng(0))))
    with pytest.raises(CollapseError, match="3 roll-backs did not help") as caught:
        api.train("gan", digits, tmp_path / "run", **TINY)
    assert caught.value.exit_code == 1
    assert "after 64 images" in caught.value.where
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["000000000"]
    text = (tmp_path / "run/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"]["back_to"] for line in text if "event" in line] == [0]


def test_without_time_to_begin_anew_a_run_ends_with_its_report(digits, monkeypatch, tmp_path):
    """The only look comes at the end, and there is nothing sound but untrained weights."""
    _force(monkeypatch, np.repeat(digits.train.gather([0]), 180, 0))
    timed = {name: value for name, value in TINY.items() if name != "images"}
    with pytest.raises(TrainingError, match="no time is left to begin anew"):
        api.train("gan", digits, tmp_path / "run", **{**timed, "budget": 0.5, "previews": 1})
    assert not (tmp_path / "run/model").exists()


def test_no_watch_trains_on(digits, monkeypatch, tmp_path):
    _force(monkeypatch, np.repeat(digits.train.gather([0]), 180, 0))
    api.train("gan", digits, tmp_path / "run", watch=False, **TINY)
    assert "diversity" not in (tmp_path / "run/history.jsonl").read_text()


def test_a_run_that_collapses_goes_back_and_ends_well(tmp_path):
    run = tmp_path / "run"
    outcome = kit.train("gan", run, hurt={"collapsing": {"step": 9, "times": 1}})
    assert outcome.code == 0, outcome.output
    assert "all samples are alike" in outcome.output
    assert "with a quarter of the learning rate and 2 times the penalty (1 of 3)" in outcome.output
    events = [line["event"] for line in kit.history(run) if "event" in line]
    assert [event["code"] for event in events] == ["MZ-COLLAPSE"]
    assert kit.newest(run).state["watch"]["alarms"] == 1
    assert kit.newest(run).state["rollbacks"] == 1


@pytest.mark.parametrize("step", [5, 9, 13, 18, 24])
def test_a_watched_run_that_is_killed_ends_as_the_unbroken_one(step, tmp_path):
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    hurt = {"collapsing": {"step": 9, "times": 1}}
    assert kit.train("gan", unbroken, hurt=hurt).code == 0
    assert kit.train("gan", run, f"step.update:{step}", hurt=hurt).code == kit.KILLED
    assert kit.train("gan", run, hurt=hurt).code == 0
    kit.require_equal(run, unbroken)
