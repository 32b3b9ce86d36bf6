"""NaN and infinity: found in their step, never saved, rolled back, and given up with advice.

The second half is about the other failure a step can have: too little memory.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_kit as kit

from mezzotint.data.batches import rows_at
from mezzotint.data.dataset import Images
from mezzotint.data.store import load_images
from mezzotint.runs import checkpoint
from mezzotint.seeds import mix
from mezzotint.storage.weights import first_non_finite, load_tensors

BAD = {"bad_loss": "the loss is", "bad_gradient": "is not finite", "bad_weight": "is not finite"}
EVERY = list(range(1, 100))


def _require_finite_files(run: Path) -> None:
    """Every tensor file of a run is finite, and there are some."""
    paths = list(run.rglob("*.safetensors"))
    assert len(paths) >= 3
    for path in paths:
        assert first_non_finite(load_tensors(path)) is None, path


def _train_images() -> Images:
    return load_images(str(kit.data())).train


def _names_at(step: int, rollbacks: int = 0) -> list[str]:
    """Names of the images of an iteration (counted from 1), sorted by row."""
    images = _train_images()
    rows = rows_at(len(images), mix(0, rollbacks), (step - 1) * kit.BATCH, kit.BATCH)
    return list(images.names_of(sorted(rows)))


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("kind", list(BAD))
def test_one_bad_number_is_rolled_back_and_the_run_finishes(
    kind: str, value: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    outcome = kit.train("denoising", run, hurt={kind: {"calls": [6], "value": value}})
    assert outcome.code == 0, outcome.output
    assert outcome.output.count("half the learning rate (1 of 3)") == 1
    assert BAD[kind] in outcome.output
    assert f"suspect images: {', '.join(_names_at(6)[:8])} and 24 more" in outcome.output
    assert [line["step"] for line in kit.history(run)] == [3, 6, 9, 12, 14]
    assert kit.newest(run).state["rollbacks"] == 1
    assert (run / "model" / "config.json").is_file()
    _require_finite_files(run)


@pytest.mark.parametrize("every", [0, 1000])
@pytest.mark.parametrize("kind", ["bad_gradient", "bad_weight", "bad_optimiser"])
def test_a_bad_last_step_is_found_before_it_is_saved(kind: str, every: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    hurt = {kind: {"calls": [kit.STEPS]}}
    outcome = kit.train("denoising", run, hurt=hurt, checkpoint_seconds=every)
    assert outcome.code == 0, outcome.output
    assert outcome.output.count("half the learning rate") == 1
    assert [line["step"] for line in kit.history(run)] == [3, 6, 9, 12, 14]
    _require_finite_files(run)


def test_the_rate_halves_and_the_order_changes_after_a_roll_back(tmp_path: Path) -> None:
    run = tmp_path / "run"
    hurt = {"bad_loss": {"calls": [8]}}
    assert kit.train("denoising", run, hurt=hurt, log_every=1, decay="none", warmup=0).code == 0
    lines = kit.history(run)
    assert [line["rate"] for line in lines] == [1.0] * 7 + [0.5] * 7
    assert _names_at(9, 0) != _names_at(9, 1)


@pytest.mark.parametrize("kind", list(BAD))
def test_what_stays_bad_ends_with_advice(kind: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = kit.train("vae", run, hurt={kind: {"calls": EVERY[4:]}})
    assert outcome.code == 1
    assert [f"({n} of 3)" in outcome.output for n in (1, 2, 3)] == [True] * 3
    error = outcome.output[outcome.output.index("error:") :]
    for part in ("3 roll-backs did not help", "MZ-TRAIN", str(run), "try a lower lr"):
        assert part in error
    assert "Traceback" not in outcome.output
    assert not (run / "model").exists()
    assert kit.newest(run).state["step"] == 4
    assert kit.litter(run) == []
    _require_finite_files(run)


def test_bad_from_the_first_step_on(tmp_path: Path) -> None:
    outcome = kit.train("vae", tmp_path / "run", hurt={"bad_loss": {"calls": EVERY}})
    assert outcome.code == 1
    assert kit.newest(tmp_path / "run").state["step"] == 0


def test_a_roll_back_to_the_start_forgets_the_moments(tmp_path: Path) -> None:
    seldom = {"checkpoint_seconds": 1000, "warmup": 0, "decay": "none", "steps": 2}
    hurt = {"bad_loss": {"calls": [2]}}
    assert kit.train("denoising", tmp_path / "a", hurt=hurt, **seldom).code == 0
    steps = [v for k, v in kit.newest(tmp_path / "a").tensors["optimizer"].items() if "step" in k]
    assert {float(step) for step in steps} == {2.0}


def test_a_poisoned_image_is_found_by_elimination(tmp_path: Path) -> None:
    images = _train_images()
    row = len(images) // 2
    run = tmp_path / "run"
    steps = len(images) * 4 // kit.BATCH  # every epoch comes to the image
    outcome = kit.train(
        "denoising", run, hurt={"bad_image": {"row": row}}, steps=steps, checkpoint_seconds=1000
    )
    assert outcome.code == 1
    suspects = re.findall(r"suspect images: (.*?)[)\n[]", outcome.output)
    assert len(suspects) == 4
    assert suspects[0].endswith("and 24 more")
    assert suspects[-1].strip() == images.names_of([row])[0]
    _require_finite_files(run)


def test_a_roll_back_that_is_killed_starts_again(tmp_path: Path) -> None:
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    hurt: dict[str, Any] = {"bad_image": {"row": int(_rows(6)[0])}}
    assert kit.train("denoising", unbroken, hurt=hurt).code == 0
    assert kit.newest(unbroken).state["rollbacks"] == 1
    assert kit.train("denoising", run, "step.update:6", hurt=hurt).code == kit.KILLED
    assert kit.train("denoising", run, hurt=hurt).code == 0
    kit.require_equal(run, unbroken)


def _rows(step: int) -> np.ndarray:
    return rows_at(len(_train_images()), mix(0, 0), (step - 1) * kit.BATCH, kit.BATCH)


def test_first_non_finite_names_the_tensor() -> None:
    tensors = {"a": torch.ones(3), "n": torch.tensor(2), "b": torch.tensor([1.0, float("inf")])}
    assert first_non_finite(tensors) == "b"
    assert first_non_finite({"a": torch.full((2,), 3e38), "n": torch.tensor(7)}) is None


def _losses(run: Path) -> np.ndarray:
    return np.array([line["loss"] for line in kit.history(run)])


@pytest.mark.parametrize("room", [20, 8, 3, 1])
def test_out_of_memory_backs_off_to_the_same_losses(room: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = kit.train("denoising", run, hurt={"small_memory": {"images": room}})
    assert outcome.code == 0, outcome.output
    assert 1 <= kit.newest(run).state["micro_batch"] <= room
    np.testing.assert_allclose(_losses(run), _losses(kit.reference("denoising")), rtol=2e-4)


def test_micro_batches_give_the_same_losses(tmp_path: Path) -> None:
    assert kit.train("vae", tmp_path / "run", micro_batch=7).code == 0
    np.testing.assert_allclose(_losses(tmp_path / "run"), _losses(kit.reference("vae")), rtol=2e-4)


def test_the_micro_batch_outlives_a_kill(tmp_path: Path) -> None:
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    hurt = {"small_memory": {"images": 8}}
    assert kit.train("denoising", unbroken, hurt=hurt).code == 0
    assert kit.train("denoising", run, "step.update:5", hurt=hurt).code == kit.KILLED
    assert kit.newest(run).state["micro_batch"] == 8
    assert kit.train("denoising", run).code == 0
    kit.require_equal(run, unbroken)


def test_when_not_one_image_fits_the_error_says_so(tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = kit.train("denoising", run, hurt={"small_memory": {"images": 0}})
    assert outcome.code == 1, outcome.output
    assert "out of memory with one image at a time [MZ-TRAIN]" in outcome.output
    assert "to do: use smaller images" in outcome.output
    assert len(checkpoint.listing(run / "checkpoints")) == 1
