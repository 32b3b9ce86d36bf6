"""The rules of the collapse watch that need a history, and the switch that turns it off."""

import json

import numpy as np
import pytest

from mezzotint import cli
from mezzotint.families.gan import GAN
from mezzotint.images import to_float
from mezzotint.metrics import collapse
from mezzotint.metrics.collapse import STUCK_STEPS, Signals, alarm, better, fallen
from mezzotint.progress import Silent
from mezzotint.training.watching import Health, Watch, Yardstick

HEALTHY = {"coverage": 0.8, "recall": 0.8, "density": 0.5, "vendi": 0.9, "pairwise": 0.9}
HEALTHY |= {"modes": 0.9, "duplicates": 0.0, "classes": 0.9, "classes_in_cells": 0.9}
COUNT = 180


def signals(**changes):
    return Signals(**{**HEALTHY, **changes})


def stuck(digits, noise):
    """Noise all over one random picture: no digit, and nearly the same each time."""
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 256, (1, *digits.size, 1))
    far = picture + draw.normal(0, noise, (COUNT, *digits.size, 1))
    return far.clip(0, 255).astype(np.uint8)


def test_a_stuck_generator_is_flagged_once_it_should_have_begun(digits, yardstick):
    found = yardstick.measure(stuck(digits, 40))
    assert found.coverage < collapse.STUCK_COVERAGE
    assert found.pairwise > 0.1  # no other rule sees it: the samples are not quite one picture
    assert alarm(found, {}, STUCK_STEPS - 1) == ""
    text = alarm(found, {}, STUCK_STEPS)
    assert text.startswith("samples are far from the images and nearly alike: ")
    assert "vendi" in text


def test_far_off_but_varied_is_only_bad(digits, yardstick):
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (COUNT, *digits.size, 1)).astype(np.uint8)
    blurred = noise // 2 + np.roll(noise, 1, 0) // 2
    assert alarm(yardstick.measure(blurred), {}, 10**6) == ""


@pytest.mark.parametrize("lost", ["coverage", "classes", "modes", "pairwise"])
def test_one_signal_below_half_of_its_best_is_a_worry_and_two_are_an_alarm(lost):
    best = better(signals(), {})
    other = "modes" if lost != "modes" else "classes"
    one = signals(**{lost: 0.49 * HEALTHY[lost]})
    assert [sign.name for sign in fallen(one, best)] == [lost]
    assert alarm(one, best, 1) == ""
    two = signals(**{lost: 0.49 * HEALTHY[lost], other: 0.49 * HEALTHY[other]})
    text = alarm(two, best, 1)
    assert text.startswith("the run has lost variety it had: ")
    assert lost in text
    assert other in text
    still = signals(**{lost: 0.51 * HEALTHY[lost], other: 0.51 * HEALTHY[other]})
    assert fallen(still, best) == []


def test_what_a_run_never_had_it_cannot_lose():
    poor = better(signals(coverage=0.19), {})
    assert fallen(signals(coverage=0.01, modes=0.1, classes=0.1), poor) == []
    assert fallen(signals(coverage=0.01, modes=0.1, classes=0.1), {}) == []


def test_the_best_is_the_highest_so_far_and_at_most_that_of_real_images():
    best = better(signals(modes=1.4, coverage=0.5), {})
    best = better(signals(modes=0.2, coverage=0.6), best)
    assert best["modes"] == 1
    assert best["coverage"] == 0.6
    assert set(best) == set(collapse.GAINED)
    assert "classes" not in better(signals(classes=None), {})


class Shown:
    """A family that shows given pictures."""

    def __init__(self, pixels):
        self.pixels, self.preview = pixels, {}

    def sample(self, seeds, batch=64):
        return to_float(self.pixels[: len(list(seeds))])

    def steady(self, alarms):
        return ""


def test_a_run_remembers_what_it_had_and_a_worry_is_no_place_to_go_back_to(digits, monkeypatch):
    now = [signals()]
    monkeypatch.setattr(Yardstick, "measure", lambda self, pixels: now[0])
    family = Shown(digits.train.gather(range(COUNT)))
    watch, fresh = (Watch(family, digits, wanted=True) for _ in range(2))
    watch.look(family, 100, Silent())
    assert watch.health is Health.SOUND
    now[0] = signals(modes=0.4)
    watch.look(family, 200, Silent())
    assert (watch.health, watch.finding) == (Health.UNCLEAR, "")
    now[0] = signals(modes=0.4, classes=0.4)
    watch.look(family, 300, Silent())
    assert watch.health is Health.COLLAPSED
    assert watch.finding.startswith("the run has lost variety it had")
    fresh.look(family, 300, Silent())
    assert (fresh.health, fresh.finding) == (Health.UNCLEAR, "")  # it never had more
    now[0] = signals(modes=0.4, density=0.3)
    fresh.look(family, 350, Silent())
    assert fresh.health is Health.SOUND  # poor samples, one sign of nothing
    now[0] = signals(modes=0.4, classes=0.4)
    fresh.restore({**watch.state(), "alarms": 2}, 500)
    fresh.look(family, 400, Silent())
    assert fresh.health is Health.COLLAPSED  # a resumed run remembers
    assert fresh.alarms == 2


def test_no_watch_on_the_command_line(digits, monkeypatch, tmp_path, capsys):
    images = to_float(np.repeat(digits.train.gather([0]), COUNT, 0))
    monkeypatch.setattr(GAN, "sample", lambda self, seeds, **options: images[: len(list(seeds))])
    tiny = ["--set", "widths=8,16", "latent=6", "groups=0", "previews=4", "log_every=2"]
    words = ["train", "gan", "digits", "--images", "256", "--batch", "32", *tiny, "--out"]
    codes = {}
    for switch in ("--watch", "--no-watch"):
        with pytest.raises(SystemExit) as caught:
            cli.main([*words, str(tmp_path / switch), switch])
        codes[switch] = caught.value.code or 0
    assert codes == {"--watch": 1, "--no-watch": 0}
    assert "MZ-COLLAPSE" in capsys.readouterr().err
    lines = (tmp_path / "--no-watch" / "history.jsonl").read_text()
    assert "diversity" not in lines
    header = json.loads((tmp_path / "--no-watch" / "run.json").read_text())
    assert header["recipe"]["watch"] is False


REPEATING = {"duplicates": 0.6, "vendi": 0.2, "modes": 0.2, "density": 0.1, "coverage": 0.02}


def test_poor_samples_that_stay_alike_are_flagged_at_the_second_look():
    before = now = signals(**REPEATING)
    assert alarm(now, {}, 100) == ""
    assert alarm(now, {}, collapse.STAYED_STEPS - 1, before) == ""
    text = alarm(now, {}, collapse.STAYED_STEPS, before)
    assert text.startswith("samples have long repeated one another: duplicates 0.60 (above 0.40)")


@pytest.mark.parametrize("mended", [{"duplicates": 0.4}, {"vendi": 0.35}, {"coverage": 0.07}])
def test_poor_samples_that_get_better_are_left_alone(mended):
    assert alarm(signals(**REPEATING | mended), {}, 100, signals(**REPEATING)) == ""
    if "coverage" not in mended:
        assert alarm(signals(**REPEATING), {}, 100, signals(**REPEATING | mended)) == ""


LEAVING = {"density": 1.1, "coverage": 0.4, "modes": 0.4, "vendi": 0.5}


def test_a_generator_that_has_just_begun_leaves_nothing_out():
    """Its samples lie amid the images and reach none of them; good ones of a few kinds do."""
    last = collapse.BEGUN_STEPS - 1
    assert alarm(signals(**LEAVING, recall=0.1), {}, last) == ""
    assert "leave kinds of images out" in alarm(signals(**LEAVING, recall=0.1), {}, last + 1)
    assert "leave kinds of images out" in alarm(signals(**LEAVING, recall=0.3), {}, 1)


def test_a_generator_that_covers_more_and_more_is_left_alone():
    now, before = signals(**LEAVING), signals(**LEAVING | {"coverage": 0.3})
    assert alarm(now, {}, 1000, before) == ""
    assert "leave kinds of images out" in alarm(now, {}, 1000, now)
    assert "leave kinds of images out" in alarm(before, {}, 1000, now)


def test_a_resumed_watch_remembers_the_look_before(digits, monkeypatch):
    monkeypatch.setattr(Yardstick, "measure", lambda self, pixels: signals(**REPEATING))
    family = Shown(digits.train.gather(range(COUNT)))
    watch, fresh = (Watch(family, digits, wanted=True) for _ in range(2))
    watch.look(family, 100, Silent())
    assert watch.health is Health.UNCLEAR
    fresh.restore(watch.state(), 500)
    assert fresh.diversity == watch.diversity
    fresh.look(family, 200, Silent())
    assert fresh.health is Health.COLLAPSED
