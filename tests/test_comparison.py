"""Who is told apart, what is said in words, and what is measured of each model."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import mezzotint as mz
from mezzotint.comparison.contenders import (
    Contender,
    moments,
    open_contender,
    require_comparable,
    unequal_cautions,
)
from mezzotint.comparison.measures import MEASURES
from mezzotint.comparison.ranking import overlap, rank
from mezzotint.comparison.stages import Stage, Stages
from mezzotint.comparison.trials import over_cost, over_time, suspects, try_out
from mezzotint.comparison.words import RULES, Facts, headline, ranks, sentences
from mezzotint.errors import UsageError
from mezzotint.evaluation import Evaluation, Subject, Value
from mezzotint.families.base import Family
from mezzotint.images import to_float
from mezzotint.progress import Silent
from mezzotint.runs import snapshots
from mezzotint.runs.loading import load_model

N = 60


def value(number: float, half: float | None = 0.0, floor: float | None = None) -> Value:
    low, high = (None, None) if half is None else (number - half, number + half)
    return Value(number, low, high, N, "", floor=floor)


# ranking


def test_best_is_said_only_where_intervals_are_apart() -> None:
    far = {"a": value(10, 1), "b": value(20, 1), "c": value(12.5, 1)}
    assert rank(far, "lower").best == "a"
    assert rank(far, "higher").best == "b"
    assert [rank(far, "lower").of(name) for name in "abc"] == ["best", "behind", "behind"]
    near = {"a": value(10, 1), "b": value(20, 1), "c": value(11.5, 1)}
    found = rank(near, "lower")
    assert (found.best, found.tied) == ("", ("a", "c"))
    assert [found.of(name) for name in "abc"] == ["not told apart", "behind", "not told apart"]
    assert rank(near, "higher").best == "b"


def test_touching_intervals_are_not_apart() -> None:
    assert rank({"a": value(1, 1), "b": value(3, 1)}, "lower").best == ""


def test_nothing_is_ranked_without_intervals_rivals_or_a_direction() -> None:
    exact = {"a": value(1, None), "b": value(2, None)}
    for values, better in ((exact, "lower"), ({"a": value(1)}, "lower"), ({}, "higher")):
        found = rank(values, better)  # type: ignore[arg-type]
        assert found.why == "fewer than two models have it"
        assert found.of("a") == ""
    assert rank({"a": value(1), "b": value(2)}, "").why


numbers = st.floats(-100, 100)
intervals = st.tuples(numbers, st.floats(0, 50))


@given(
    st.dictionaries(st.text(min_size=1), intervals, min_size=2),
    st.sampled_from(["lower", "higher"]),
)
def test_ranking_keeps_its_promise(given: dict[str, tuple[float, float]], better: Any) -> None:
    values = {name: value(*pair) for name, pair in given.items()}
    found = rank(values, better)
    sign = 1 if better == "lower" else -1
    first = min(values.values(), key=lambda v: sign * v.value)
    for name, one in values.items():
        meets = overlap(one, first)
        assert (found.of(name) != "behind") == meets
        if name == found.best:
            assert not any(overlap(one, other) for who, other in values.items() if who != name)
    assert bool(found.best) == (not found.tied)
    assert len(found.tied) != 1


# words


def model(**values: Value) -> Evaluation:
    return Evaluation(values)


REAL = {"frechet": value(10, 2, 9), "coverage": value(0.9, 0.05, 0.95),
        "recall": value(0.9, 0.05, 0.95), "precision": value(0.9, 0.05, 0.95),
        "copied": value(0, 0.0, 0.01),
        "duplicates": value(0.01, 0.005), "classes_seen": value(1, None),
        "images_per_s": value(100, None)}  # fmt: skip
WORDS: list[tuple[str, dict[str, Value], dict[str, Value]]] = [
    # what is said, numbers that make it true of a model beside REAL, numbers that do not
    ("The best choice", {"frechet": value(5, 1, 1)}, {"frechet": value(9, 1, 1)}),
    ("not told apart from real.", {"frechet": value(11, 2, 1)}, {"frechet": value(30, 2, 1)}),
    ("further from real ones than those of real:", {"frechet": value(20, 2, 1)}, {}),
    ("cannot be told from real ones", {"frechet": value(10, 2, 9)}, {"frechet": value(10, 2, 7)}),
    ("Repeats training images: 30%", {"copied": value(0.3, 0.1)}, {"copied": value(0.02, 0.02)}),
    ("Misses much of the variety: recall 0.30 against 0.95", {"recall": value(0.3, 0.1, 0.95)},
     {"recall": value(0.45, 0.1, 0.95)}),
    ("Misses much of the variety: coverage", {"coverage": value(0.1, 0.1, 0.9)}, {}),
    ("do not look like real images: precision 0.10", {"precision": value(0.1, 0.1, 0.9)}, {}),
    ("Repeats itself: 40%", {"duplicates": value(0.4, 0.1)}, {"duplicates": value(0.05, 0.05)}),
    ("Shows only 80% of the classes", {"classes_seen": value(0.8, None)}, {}),
    ("The fastest at new images: 250 a second, 2.5 times",
     {"images_per_s": value(250, None)}, {"images_per_s": value(190, None)}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "true", "false"), WORDS, ids=[case[0] for case in WORDS])
def test_a_sentence_is_said_when_its_numbers_are_there(
    said: str, true: dict[str, Value], false: dict[str, Value]
) -> None:
    for changes, holds in ((true, True), (false, False)):
        found = {"real": model(**REAL), "it": model(**{**REAL, **changes})}
        told = [text for _, text in sentences("it", found)]
        assert any(said in text for text in told) == holds, told


def test_rebuilding_and_likelihood_in_words() -> None:
    found = {
        "ae": model(perceptual=value(0.1, 0.01)),
        "vae": model(perceptual=value(0.2, 0.01), bits_per_dim=value(3), **REAL),
        "twin": model(perceptual=value(0.105, 0.01)),
        "gan": model(**REAL),
    }
    told = {name: " ".join(text for _, text in sentences(name, found)) for name in found}
    assert "Makes no new images" in told["ae"]
    assert "not told apart from twin" in told["ae"]
    assert "behind ae and twin" in told["vae"]
    assert "how likely an image is" in told["vae"]
    assert "Rebuilds" not in told["gan"]
    del found["twin"]
    assert any("Rebuilds unseen images best" in text for _, text in sentences("ae", found))


def test_every_rule_is_tested_and_kinds_are_known() -> None:
    found = {"real": model(**REAL)}
    assert {rule.kind for rule in RULES} == {"good", "bad", "plain"}
    assert Facts("real", found).times_faster() == 0
    for rule in RULES:  # no rule falls over a model of which nothing is known
        assert not rule.holds(Facts("x", {"x": Evaluation(), "y": model(**REAL)}))


def test_the_headline_says_no_more_than_the_numbers() -> None:
    two = {"a": model(**REAL), "b": model(**{**REAL, "frechet": value(5, 1, 1)})}
    assert headline(two) == [
        "Best at making new images: b; no other model's interval reaches its own."
    ]
    two["b"] = model(**{**REAL, "frechet": value(11, 2), "copied": value(0.5, 0.1)})
    said = headline(two)
    assert said[0] == "Not told apart at making new images: a and b; their intervals overlap."
    assert said[1].endswith("come from b.")
    assert headline({"a": model(**REAL), "ae": model()}) == [
        "Only a makes new images, so there is no best."
    ]
    assert headline({"x": model(), "y": model()}) == ["No model makes new images."]
    assert set(ranks(two)) == set(MEASURES)


# stages


class Heard(Silent):
    def __init__(self) -> None:
        self.updates: list[tuple[float, str, float]] = []
        self.lines: list[str] = []

    def update(self, done: float, total: float, note: str = "", seconds_left: float = 0) -> None:
        self.updates.append((done / total, note, seconds_left))

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_stages_are_one_view_with_the_time_of_the_whole() -> None:
    heard = Heard()
    training = [Stage("training a", 60, True), Stage("training b", 60, True)]
    evaluating = [Stage("evaluating a", 30, False), Stage("evaluating b", 30, False)]
    stages = Stages([*training, *evaluating], heard)
    with stages.next():
        stages.update(0.5, 1, "loss 3")
    assert heard.updates[1] == (30 / 180, "1 of 4: training a  loss 3", 150)
    with stages.next():
        stages.say("once")
        stages.say("once")
    assert heard.lines == ["once"]
    assert heard.updates[-1][0] == pytest.approx(120 / 180)
    with stages.next():
        stages.update(1, 1)  # of samples; features and more are to come
        assert heard.updates[-1][0] < 0.7
        time.sleep(0.05)
    with stages.next():  # as long as the first one took
        assert heard.updates[-1][2] < 5
    shares = [share for share, _, _ in heard.updates]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert heard.updates[-1][1] == "4 of 4: evaluating b"


# what is measured


@dataclass(frozen=True)
class Config:
    channels: int = 1
    size: tuple[int, int] = (16, 16)
    steps: int = 4


class Stepper(Family):
    """ "Samples" by showing image i of a set for seed i under noise that falls with the steps."""

    kind: ClassVar[str] = "stepper"
    config_class: ClassVar[type] = Config
    presets: ClassVar = {}
    sampling: ClassVar = frozenset({"steps"})

    def __init__(self, pixels: np.ndarray) -> None:
        super().__init__(Config(pixels.shape[3], pixels.shape[1:3]))
        self.pixels = pixels
        self.weight = nn.Parameter(torch.zeros(7))

    def sample(self, seeds: Iterable[int], batch: int = 64, steps: int | None = None) -> Tensor:
        steps = steps or self.config.steps
        if steps > 10:
            raise UsageError("too many steps")
        rows = list(seeds)
        noise = torch.randn(len(rows), 1, 16, 16, generator=torch.Generator().manual_seed(rows[0]))
        return (to_float(self.pixels[rows]) + noise / steps).clamp(-1, 1)


@pytest.fixture(scope="module")
def digits() -> mz.Images:
    images = mz.load_images("digits", size=16)
    rows = np.concatenate([images.train_rows[:300], images.held_out_rows[:N]])
    return replace(images, rows=rows, train_rows=rows[:300], held_out_rows=rows[300:])


def subject(family: Family, digits: mz.Images, **changes: Any) -> Subject:
    held_out, train = digits.held_out, digits.train
    found = Subject(family, held_out, train, N, None, 2, "pixels", Silent())
    return replace(found, **changes)


def test_cost_has_a_point_a_number_of_steps(digits: mz.Images) -> None:
    points, failed = over_cost(subject(Stepper(digits.train.gather(range(N))), digits))
    by_steps = {point.note: point.value.value for point in points}
    assert set(by_steps) == {"2 steps", "4 steps, its own", "5 steps"}
    assert by_steps["2 steps"] > by_steps["4 steps, its own"] > by_steps["5 steps"]
    assert [point.at for point in points] == sorted(point.at for point in points)
    assert failed == {"20 steps": "too many steps"}
    assert all(point.value.n == N for point in points)


def test_a_copy_is_the_first_suspect(digits: mz.Images, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = digits.held_out.gather(range(N)).copy()
    pixels[17] = digits.train.gather([123])[0]
    copier = Stepper(pixels)
    monkeypatch.setattr(copier, "sample", lambda seeds, batch=64: to_float(pixels[list(seeds)]))
    first, second, *_ = suspects(subject(copier, digits))
    assert (first.seed, first.distance) == (17, 0)
    assert first.name == digits.train.names_of([123])[0]
    assert np.array_equal(first.sample, first.nearest)
    assert 0 < second.distance < 1


@pytest.fixture(scope="module")
def run(digits: mz.Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "vae"
    options = {"widths": (4, 8), "latent": 3, "batch": 16, "log_every": 2}
    mz.train("vae", digits, out, images=640, ema_snapshots=4, seed=3, **options)
    return out


def test_moments_are_the_averages_a_run_kept(run: Path, digits: mz.Images) -> None:
    contender = open_contender("vae", run, digits)
    kept = snapshots.listing(run / "averages")
    before = {name: tensor.clone() for name, tensor in contender.model.state_dict().items()}
    found = []
    for seconds, shown in moments(contender):
        weights = snapshots.stored(kept[len(found)], 0.05)
        assert all(torch.equal(shown.state_dict()[name], weights[name]) for name in weights)
        found.append(seconds)
    assert len(found) == 3  # of four; the last one is the model itself
    assert found == sorted(found)
    assert found[0] > 0
    assert found[-1] < contender.seconds
    after = contender.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    last = snapshots.stored(kept[-1], 0.05)
    assert all(torch.equal(last[name], after[name]) for name in last)


def test_courses_end_with_the_model_itself(run: Path, digits: mz.Images) -> None:
    contender = open_contender("vae", run, digits)
    found = try_out(contender, subject(contender.model, digits))
    assert {name: len(points) for name, points in found.time.items()} == {
        "frechet": 4,
        "perceptual": 4,
    }
    assert found.time["frechet"][-1].at == contender.seconds
    assert found.time["frechet"][-1].value.value == pytest.approx(found.found["frechet"].value)
    assert found.time["perceptual"][-1].value.value == pytest.approx(
        found.found["perceptual"].value
    )
    assert found.samples is not None
    assert found.samples.shape == (32, 16, 16, 1)
    assert found.rebuilt is not None
    assert found.rebuilt.shape == (8, 16, 16, 1)
    assert "peak_memory" in found.found.left_out


def test_a_model_folder_has_no_course_and_a_caution(run: Path, digits: mz.Images) -> None:
    contender = open_contender("m", run / "model", digits)
    assert over_time(contender, subject(contender.model, digits)) == {}
    assert contender.seconds is None
    assert "not known which images" in contender.cautions[0]


def test_what_was_not_the_same_is_said(run: Path, digits: mz.Images) -> None:
    fair, other = open_contender("a", run, digits), replace(digits, fingerprint="another")
    assert fair.cautions == ()
    assert "may have seen the held-out ones" in open_contender("a", run, other).cautions[0]
    assert unequal_cautions([fair, fair]) == []
    longer = replace(fair, settings={**(fair.settings or {}), "budget": 9})
    assert unequal_cautions([fair, longer]) == ["The models were not trained with the same budget."]


def test_models_of_other_shapes_are_refused(run: Path) -> None:
    one = Contender("a", load_model(run), run)
    other = Contender("b", mz.VAE(size=24, widths=(4, 8), latent=3), run)
    with pytest.raises(UsageError, match="a 16x16 with 1 channels, b 24x24"):
        require_comparable([one, other])
    with pytest.raises(UsageError, match="fewer than two"):
        require_comparable([one])
