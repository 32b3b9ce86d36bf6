"""Diffusion keeps what the foundation promises: exact resuming, any size, no divergence, no NaN."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import training_kit as kit

import mezzotint as mz
from mezzotint.errors import DataError
from mezzotint.families.diffusion import Diffusion
from mezzotint.seeds import BatchNoise, ImageNoise
from mezzotint.solvers import SOLVERS
from mezzotint.storage.weights import first_non_finite, load_tensors

POINTS = {"step.update": 14, "checkpoint.file": 45, "checkpoint.done": 15, "sample.done": 2}
DISTILLING = ["step.update:17", "checkpoint.file:60", "checkpoint.rename:22", "replace.rename:5"]


def _kills() -> list[tuple[str, str]]:
    """A fault of each kind for each case, at seeded counts; and some in the student's run."""
    draw = random.Random(3)
    cases = ["labels", "groups", "groups-in-classes"]
    drawn = [(case, f"{p}:{draw.randint(1, n)}") for case in cases for p, n in POINTS.items()]
    early = [("groups", "replace.rename:1"), ("groups-in-classes", "checkpoint.file:1")]
    return [*early, *drawn, *(("distilling", point) for point in DISTILLING)]


@pytest.mark.parametrize(("case", "fault"), _kills())
def test_a_killed_run_ends_like_the_unbroken_one(case: str, fault: str, tmp_path: Path) -> None:
    run = kit.home() / tmp_path.name
    student = run.with_name(f"{run.name}-distilled")
    assert kit.train(case, run, fault).code == kit.KILLED
    if case == "distilling":
        assert (run / "model" / "config.json").is_file()
    outcome = kit.train(case, run)
    assert outcome.code == 0, outcome.output
    unbroken = kit.reference(case)
    kit.require_equal(run, unbroken)
    if case == "distilling":
        kit.require_equal(student, unbroken.with_name(f"{unbroken.name}-distilled"))
        shutil.rmtree(student)
    shutil.rmtree(run)


def test_the_groups_are_in_the_first_checkpoint(tmp_path: Path) -> None:
    """Found before training, they are not looked for again by the command that resumes."""
    run = tmp_path / "run"
    assert kit.train("groups", run, "step.update:1").code == kit.KILLED
    saved = kit.newest(run)
    share = saved.tensors["model"]["told.groups.share"]
    assert saved.state["images"] == 0
    assert float(share.sum()) == pytest.approx(1)
    outcome = kit.train("groups", run, hurt={"no_groups": {}})
    assert outcome.code == 0, outcome.output
    kit.require_equal(run, kit.reference("groups"))


def test_a_model_that_has_seen_nothing_makes_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert kit.train("labels", run, "step.update:1").code == kit.KILLED
    outcome = kit.call(["sample", str(run), "--out", str(tmp_path / "made.png")])
    assert outcome.code == 66
    assert "this model has seen 0 images" in outcome.output
    assert "the same command resumes" in outcome.output
    assert not (tmp_path / "made.png").exists()
    assert kit.train("labels", run, "step.update:2").code == kit.KILLED
    assert kit.call(["sample", str(run), "--out", str(tmp_path / "made.png")]).code == 0


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 28, 28), (3, 48, 64), (4, 20, 31), (1, 100, 37)]
)
def test_odd_sizes_train_and_sample(channels: int, height: int, width: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80, height, width, channels), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    options = {"widths": (8, 16), "images": 64, "batch": 16, "previews": 1, "channels": channels}
    run = mz.train("diffusion", tmp_path / "images.npy", out=tmp_path / "run", **options)
    made = mz.sample(run.path, n=3, steps=3, out=tmp_path / "made")
    assert made.shape == (3, height, width, channels)
    assert made.std() > 10
    assert len(list((tmp_path / "made").iterdir())) == 3


@pytest.mark.parametrize("calls", [[6], [6, 9]])
def test_a_loss_that_is_not_finite_is_rolled_back(calls: list[int], tmp_path: Path) -> None:
    outcome = kit.train("groups", tmp_path / "run", hurt={"bad_loss": {"calls": calls}})
    assert outcome.code == 0, outcome.output
    assert kit.newest(tmp_path / "run").state["rollbacks"] == len(calls)


def test_a_rate_that_diverges_is_rolled_back_until_it_does_not(tmp_path: Path) -> None:
    """The loss grows a thousandfold without becoming infinite; half the rate is small enough."""
    seldom = {"checkpoint_seconds": 1000, "optimizer": "adam", "warmup": 0, "decay": "none"}
    outcome = kit.train("labels", tmp_path / "run", lr=0.7, steps=40, ema=0, **seldom)
    assert outcome.code == 0, outcome.output
    assert 1 <= kit.newest(tmp_path / "run").state["rollbacks"] <= 3
    assert "half the learning rate" in outcome.output
    assert max(line["loss"] for line in kit.history(tmp_path / "run")) < 100


def test_a_rate_far_too_high_ends_with_advice(tmp_path: Path) -> None:
    outcome = kit.train("groups", tmp_path / "run", lr=10, optimizer="muon", warmup=0)
    assert outcome.code == 1
    assert "3 roll-backs did not help" in outcome.output
    assert "try a lower lr" in outcome.output
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("solver", SOLVERS)
def test_half_precision_gives_the_pictures_of_single(solver: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Diffusion(size=(16, 16), widths=(8, 16), groups=3, steps=4).eval()
    model.told.groups.share.fill_(1 / 3)
    torch.nn.init.normal_(model.network.head.weight, std=0.2)
    whole = model.sample(range(4), solver=solver)
    model.to(dtype)
    states = list(model.trajectory(ImageNoise([0]), _told(model), solver=solver))
    assert {state.noisy.dtype for state in states} == {torch.float32}
    made = model.sample(range(4), solver=solver)
    assert made.dtype == torch.float32
    assert float((made - whole).abs().mean()) < 0.02
    assert float(made.std()) > 0.2


def _told(model: Diffusion):
    from mezzotint.families.conditions import make_conditions

    return make_conditions(model.shape, torch.tensor([1]), 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_loss_is_single_under_half_arithmetic(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Diffusion(size=(16, 16), widths=(8, 16), prediction="v", weighting="min-snr")
    images = torch.rand(8, 1, 16, 16) * 2 - 1
    whole = model.loss(mz.families.base.Batch(images, BatchNoise((0,), 8)))["loss"]
    with torch.autocast("cpu", dtype=dtype):
        half = model.loss(mz.families.base.Batch(images, BatchNoise((0,), 8)))["loss"]
    assert half.dtype == torch.float32
    assert float(half.detach()) == pytest.approx(float(whole.detach()), rel=0.02)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("clip", ["static", "dynamic", "none"])
def test_numbers_that_are_not_finite_make_no_picture(value: float, clip: str) -> None:
    """Clipped, an infinity would be a black or white picture."""
    model = Diffusion(size=(16, 16), widths=(8, 16), steps=3, clip=clip, solver="ddim").eval()
    with torch.no_grad():
        model.network.head.bias[0] = value
    for make in (model.sample, model.film):
        with pytest.raises(DataError, match="not finite"):
            make([0, 1])
    with pytest.raises(DataError, match="not finite"):
        model.interpolate(0, 1, 3)


def test_a_preview_that_fails_costs_a_warning(tmp_path: Path) -> None:
    outcome = kit.train("labels", tmp_path / "run", hurt={"broken_sampling": {}})
    assert outcome.code == 0, outcome.output
    assert outcome.output.count("a preview was not written: the network gives") == 2
    assert first_non_finite(load_tensors(tmp_path / "run" / "model" / "model.safetensors")) is None
