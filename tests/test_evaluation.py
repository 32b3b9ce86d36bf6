"""What evaluate says of models whose faults are known: copiers, blurrers, forgetters."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mezzotint as mz
from mezzotint.errors import UsageError
from mezzotint.evaluation import Evaluation, Subject, measure
from mezzotint.evaluation.costs import peak_memory
from mezzotint.evaluation.detail import NAMES
from mezzotint.evaluation.remembering import Numbers, remembered
from mezzotint.evaluation.sets import ALL
from mezzotint.evaluation.table import tabulated
from mezzotint.families.base import Family
from mezzotint.features.extractor import Extractor, levels
from mezzotint.features.table import EXTRACTORS
from mezzotint.images import to_float
from mezzotint.metrics.distances import frechet
from mezzotint.progress import Silent

N = 180


@dataclass(frozen=True)
class Config:
    channels: int = 1
    size: tuple[int, int] = (16, 16)


class Shower(Family):
    """ "Samples" by showing image i of a set for seed i."""

    kind: ClassVar[str] = "shower"
    config_class: ClassVar[type] = Config
    presets: ClassVar = {}

    def __init__(self, pixels: np.ndarray) -> None:
        super().__init__(Config(pixels.shape[3], pixels.shape[1:3]))
        self.pixels = pixels
        self.weight = nn.Parameter(torch.zeros(7))

    def sample(self, seeds: Iterable[int], batch: int = 64) -> Tensor:
        return to_float(self.pixels[list(seeds)])


@pytest.fixture(scope="module")
def digits() -> mz.Images:
    """Digits with 900 training images; the other 717 are the law itself, seen by nobody."""
    images = mz.load_images("digits", size=16)
    mixed = np.random.default_rng(0).permutation(images.train_rows)  # digits come by writer
    return replace(images, train_rows=np.sort(mixed[:900]))


@pytest.fixture(scope="module")
def fresh(digits: mz.Images) -> np.ndarray:
    """Real images, neither trained on nor held out."""
    return digits.pixels[unused(digits)]


def unused(digits: mz.Images) -> np.ndarray:
    """Rows neither trained on nor held out, mixed."""
    used = np.concatenate([digits.train_rows, digits.held_out_rows])
    rest = np.setdiff1d(np.arange(len(digits.pixels)), used)
    return np.random.default_rng(1).permutation(rest)


def judged(digits: mz.Images, pixels: np.ndarray, **options: object) -> Evaluation:
    return mz.evaluate(Shower(pixels), digits, **{"features": "pixels", **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def good(digits: mz.Images, fresh: np.ndarray) -> Evaluation:
    return judged(digits, fresh)


def test_a_perfect_model_reaches_the_floor(good: Evaluation) -> None:
    for name in ("frechet", "kernel", "vendi", "pairwise", "precision", "recall", "coverage"):
        value = good[name]
        assert value.low <= value.floor <= value.high, name
        assert value.n == N
        assert value.features.startswith("pixels@")
        assert value.resize == "antialiased bicubic to 16x16"
    assert good["kernel"].low < 0 < good["kernel"].high
    assert good["memorisation"].value == pytest.approx(1, abs=0.05)
    assert good["copied"].low < 0.01 < good["copied"].high
    assert good["parameters"].value == 7
    assert good.left_out == {}


def test_a_copier_is_named(digits: mz.Images) -> None:
    found = judged(digits, digits.pixels[digits.train_rows[:N]])
    assert found["copied"].value == 1
    assert found["memorisation"].high < 0.01
    assert "900 of 900 training images" in found["copied"].note
    assert found["precision"].value > 0.9  # fidelity alone would praise it


FAULTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, int]] = {
    "noise": (lambda p: _noisy(p), "precision", -1),
    "noise, distance": (lambda p: _noisy(p), "frechet", 1),
    "blur": (lambda p: _blurred(p), "kernel", 1),
    "blur, distance": (lambda p: _blurred(p), "pairwise", -1),
    "one image": (lambda p: np.repeat(p[:1], len(p), 0), "vendi", -1),
    "one image, coverage": (lambda p: np.repeat(p[:1], len(p), 0), "coverage", -1),
    "doubles": (lambda p: p[np.arange(len(p)) // 2], "duplicates", 1),
    "few": (lambda p: p[np.arange(len(p)) % 20], "coverage", -1),
}


def _noisy(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 60, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _blurred(pixels: np.ndarray) -> np.ndarray:
    shifted = [np.roll(pixels.astype(float), by, axis) for axis in (1, 2) for by in (-2, 0, 2)]
    return np.mean(shifted, 0).astype(np.uint8)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_moves_its_number(
    fault: str, digits: mz.Images, fresh: np.ndarray, good: Evaluation
) -> None:
    damage, name, direction = FAULTS[fault]
    found = judged(digits, damage(fresh))[name]
    whole = good[name]
    apart = found.low > whole.high if direction > 0 else found.high < whole.low
    assert apart, (found, whole)


def test_a_lost_class_shows_where_features_know_classes(
    digits: mz.Images, fresh: np.ndarray
) -> None:
    labels = digits.labels[unused(digits)]
    without = fresh[(labels != 3) & (labels != 7)]
    assert judged(digits, without, features="data")["classes_seen"].value == pytest.approx(0.8)
    assert judged(digits, fresh, features="data")["classes_seen"].value == 1


def test_few_images_leave_the_sets_out_and_keep_the_rest(
    digits: mz.Images, fresh: np.ndarray
) -> None:
    thirty = digits.subset(range(30))
    found = judged(thirty, fresh)
    assert set(found.left_out) == {*ALL, *NAMES}
    assert set(found) == {"images_per_s", "parameters", "peak_memory"}
    assert "needs 50 samples" in found.left_out["frechet"]
    assert f"left out: {', '.join((*ALL, *NAMES))}: needs 50" in tabulated(found)


def test_more_samples_than_real_images_are_refused(digits: mz.Images, fresh: np.ndarray) -> None:
    with pytest.raises(UsageError, match="180 held-out images to be compared with"):
        judged(digits, fresh, samples=181)
    with pytest.raises(UsageError, match="60 held-out"):
        judged(digits, fresh, samples=61, limit=60)
    assert judged(digits, fresh, samples=60)["frechet"].n == 60


def test_other_channels_are_refused(digits: mz.Images) -> None:
    with pytest.raises(UsageError, match="channels"):
        judged(digits, np.zeros((200, 16, 16, 3), np.uint8))
    with pytest.raises(UsageError, match="the model wants"):
        judged(digits, np.zeros((200, 8, 8, 1), np.uint8))


def test_without_training_images_copying_is_left_out(digits: mz.Images, fresh: np.ndarray) -> None:
    alone = replace(digits.held_out, train_rows=digits.train_rows[:0])
    found = judged(alone, fresh)
    assert set(found.left_out) == {"memorisation", "copied"}
    assert found["frechet"].floor is None
    leaked = replace(digits, train_rows=np.concatenate([digits.held_out_rows] * 2))
    found = judged(leaked, fresh)
    assert "every held-out image is also a training image" in found.left_out["copied"]


def test_a_model_that_only_rebuilds_says_what_it_cannot(digits: mz.Images) -> None:
    torch.manual_seed(0)
    model = mz.Autoencoder(size=16, widths=(8,), latent=3).eval()
    found = mz.evaluate(model, digits, features="pixels")
    assert set(found.left_out) == {*ALL, *NAMES}
    assert "makes no new images (autoencoder)" in found.left_out["frechet"]
    pixels = digits.held_out.gather(range(N))
    points = pixels.reshape(N, -1) / 255
    rebuilt = (model.reconstruct(to_float(pixels)) / 2 + 0.5).flatten(1).numpy()
    scale = np.linalg.norm(points[:, None] - points[None], axis=-1).sum() / (N * (N - 1))
    expected = np.linalg.norm(rebuilt - points, axis=1).mean() / scale
    assert found["perceptual"].value == pytest.approx(expected, rel=0.01)  # in 8 bits
    assert found["rfd"].value == pytest.approx(frechet(points, rebuilt), rel=0.02)
    assert found["rfd"].low < found["rfd"].value < found["rfd"].high


def test_only_the_published_weights_give_an_fid(
    digits: mz.Images, fresh: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Extractor("inception", "6" * 64, "none", lambda p: levels(p).flatten(1), published=True)
    monkeypatch.setitem(EXTRACTORS, "inception", lambda images, show: true)
    assert judged(digits, fresh, features="inception")["frechet"].unit == "FID"


def test_the_second_time_says_the_same(
    digits: mz.Images, fresh: np.ndarray, good: Evaluation
) -> None:
    again = judged(digits, fresh)
    changing = {"images_per_s", "peak_memory"}
    assert {k: v for k, v in again.items() if k not in changing} == {
        k: v for k, v in good.items() if k not in changing
    }


def test_images_of_one_class_after_the_other_are_drawn_evenly(digits: mz.Images) -> None:
    rows = digits.held_out_rows[np.argsort(digits.labels[digits.held_out_rows], kind="stable")]
    ordered = replace(digits, rows=rows)
    subject = Subject(Shower(digits.pixels), ordered, digits.train, 60, None, 1, "pixels", Silent())
    drawn = {tuple(image.ravel()) for image in subject.pixels}
    labels = [digits.labels[row] for row in rows if tuple(digits.pixels[row].ravel()) in drawn]
    assert len(set(labels)) == 10
    assert measure(subject)["frechet"].n == 60


def test_json_and_table_hold_every_number(good: Evaluation) -> None:
    told = json.loads(json.dumps(good.as_dict(), allow_nan=False))
    assert told.keys() == {*good, "left_out", "remarks"}
    assert told["frechet"]["floor"] == good["frechet"].floor
    text = tabulated(good)
    for name in good:
        assert f"\n{name} " in text
    assert f"features: {good['frechet'].features}, resize: antialiased bicubic to 16x16" in text


def test_peak_memory_is_that_of_the_process() -> None:
    memory, where = peak_memory(torch.device("cpu"))
    held = np.ones(memory // 8 + (8 << 20))  # 64 MiB more than ever before
    assert peak_memory(torch.device("cpu"))[0] > memory + (32 << 20)
    assert (where, held.size > 0) == ("whole process", True)


def test_numbers_are_remembered_by_what_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEZZOTINT_HOME", str(tmp_path))
    sets, calls = np.arange(6, dtype=np.float32).reshape(3, 2), []

    def compute() -> Numbers:
        calls.append(1)
        return {"pi": (0.1 + 0.2, -1e-300)}

    first = remembered("sum", compute, sets)
    assert remembered("sum", compute, sets) == first == {"pi": (0.1 + 0.2, -1e-300)}
    assert len(calls) == 1
    for name, other in (("sum", sets.T), ("sum", sets + 1), ("other", sets)):
        remembered(name, compute, other)
    assert len(calls) == 4
    for file in tmp_path.glob("numbers/*"):
        file.write_bytes(b"[]")
    assert remembered("sum", compute, sets) == first
