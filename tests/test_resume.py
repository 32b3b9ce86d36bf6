"""A run that is killed anywhere and started again ends as if nothing had happened."""

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import training_kit as kit

from mezzotint.errors import DataError
from mezzotint.runs import checkpoint
from mezzotint.runs.folder import RunFolder

# How often an unbroken run of 14 steps comes to each point.
POINTS = {
    "step.update": 14,
    "checkpoint.file": 45,
    "checkpoint.marker": 15,
    "checkpoint.rename": 15,
    "checkpoint.done": 15,
    "discard.half": 13,
    "file.half": 30,
    "replace.rename": 3,
    "sample.done": 2,
    "history.half": 5,
}
FIXED = [("denoising", "model.rename:1"), ("vae", "replace.rename:1"), ("vae", "step.update:1")]


def _kills(count: int) -> list[tuple[str, str]]:
    """Cases and fault points, seeded: every point and every case comes up."""
    draw = random.Random(7)
    cases, points = list(kit.CASES), list(POINTS)
    drawn = [
        (cases[(i + i // len(cases)) % len(cases)], points[i % len(points)]) for i in range(count)
    ]
    return [(case, f"{point}:{draw.randint(1, POINTS[point])}") for case, point in drawn]


KILLS = [*FIXED, *_kills(17)]


@pytest.mark.parametrize(("case", "fault"), KILLS, ids=[f"{c}-{f}" for c, f in KILLS])
def test_a_killed_run_ends_like_the_unbroken_one(case: str, fault: str, tmp_path: Path) -> None:
    run = kit.home() / tmp_path.name
    assert kit.train(case, run, fault).code == kit.KILLED
    outcome = kit.train(case, run)
    assert outcome.code == 0, outcome.output
    kit.require_equal(run, kit.reference(case))
    shutil.rmtree(run)


def test_the_history_has_every_line_once() -> None:
    lines = kit.history(kit.reference("vae"))
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 14]
    assert [line["images"] for line in lines] == [32 * line["step"] for line in lines]


def test_a_kill_in_the_curve_leaves_no_litter(tmp_path: Path) -> None:
    run = tmp_path / "run"
    unbroken = kit.reference("denoising", curve=True)
    files_before_the_curve = 1 + len(list((unbroken / "samples").iterdir()))
    fault = f"replace.rename:{files_before_the_curve + 1}"
    assert kit.train("denoising", run, fault, hurt={"curve": True}).code == kit.KILLED
    assert kit.litter(run)
    assert kit.train("denoising", run, hurt={"curve": True}).code == 0
    kit.require_equal(run, unbroken)
    assert (run / "curve.png").read_bytes() == (unbroken / "curve.png").read_bytes()


@pytest.mark.parametrize("fault", ["step.update:4", "checkpoint.rename:3", "discard.half:3"])
def test_a_run_killed_again_and_again_arrives(fault: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for _ in range(20):
        outcome = kit.train("denoising", run, fault)
        if outcome.code == 0:
            break
        assert outcome.code == kit.KILLED, outcome.output
    kit.require_equal(run, kit.reference("denoising"))


def test_a_kill_while_the_history_is_rewound(tmp_path: Path) -> None:
    run = kit.interrupted("vae", tmp_path / "run")
    with (run / "history.jsonl").open("a") as file:
        file.write('{"images": 999}\n')
    assert kit.train("vae", run, "replace.rename:1").code == kit.KILLED
    assert kit.train("vae", run).code == 0
    kit.require_equal(run, kit.reference("vae"))


@pytest.mark.parametrize("point", ["checkpoint.rename", "checkpoint.done", "discard.half"])
def test_with_one_checkpoint_kept_there_always_is_one(point: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert kit.train("denoising", run, f"{point}:3", keep=1).code == kit.KILLED
    assert kit.newest(run).state["step"] >= 1
    assert kit.train("denoising", run, keep=1).code == 0
    assert len(checkpoint.listing(run / "checkpoints")) == 1
    assert kit.digests(run) == kit.digests(kit.reference("denoising"))


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_passed_over_and_never_outlives_good_ones(tmp_path: Path) -> None:
    run = kit.interrupted("vae", tmp_path / "run", step=9)
    _damage(checkpoint.listing(run / "checkpoints")[-1] / "ema.safetensors")
    outcome = kit.train("vae", run, "checkpoint.done:1")
    assert "was damaged" in outcome.output
    assert kit.newest(run).state["step"] == 8
    assert kit.train("vae", run).code == 0
    kit.require_equal(run, kit.reference("vae"))


def test_when_every_checkpoint_is_damaged_nothing_is_thrown_away(tmp_path: Path) -> None:
    run = kit.interrupted("vae", tmp_path / "run", step=9)
    for path in checkpoint.listing(run / "checkpoints"):
        _damage(path / "model.safetensors")
    before = (run / "history.jsonl").read_text()
    outcome = kit.train("vae", run)
    assert outcome.code == DataError.exit_code
    assert "every checkpoint of this run is damaged" in outcome.output
    assert "Traceback" not in outcome.output
    assert (run / "history.jsonl").read_text() == before
    assert len(checkpoint.listing(run / "checkpoints")) == 2


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x.safetensors": 1}', "null"])
def test_a_marker_that_makes_no_sense_is_a_damaged_checkpoint(content: str, tmp_path: Path) -> None:
    run = kit.copy_of(kit.reference("vae"), tmp_path / "run")
    newest = checkpoint.listing(run / "checkpoints")[-1]
    (newest / checkpoint.MARKER).write_text(content)
    assert kit.newest(run).path != newest


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    run = kit.copy_of(kit.reference("vae"), tmp_path / "run")
    stamps = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    outcome = kit.train("vae", run)
    assert (outcome.code, "finished already" in outcome.output) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == stamps


def test_a_run_folder_can_be_moved(tmp_path: Path) -> None:
    run = kit.interrupted("denoising", tmp_path / "here")
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    run.rename(moved)
    assert kit.train("denoising", moved).code == 0
    kit.require_equal(moved, kit.reference("denoising"))


def test_a_second_trainer_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    run = kit.interrupted("vae", tmp_path / "run")
    before = kit.files(run), (run / "history.jsonl").read_text()
    with RunFolder(run).hold():
        assert RunFolder(run).status() == "running"
        outcome = kit.train("vae", run)
    assert outcome.code == 75
    assert f"process {os.getpid()} on" in outcome.output
    assert (kit.files(run), (run / "history.jsonl").read_text()) == before
    assert RunFolder(run).status() == "interrupted"


def test_of_two_trainers_started_together_one_works(tmp_path: Path) -> None:
    run = tmp_path / "run"
    jobs = [kit.training("vae", run), kit.training("vae", run)]
    codes = sorted(outcome.code for outcome in kit.zygote().run(*jobs))
    assert codes in ([0, 75], [0, 0])  # the second may have come when the first was done
    kit.require_equal(run, kit.reference("vae"))


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    run = kit.interrupted("vae", tmp_path / "run")
    (run / "lock").write_text(f"process {os.getpid()} on another-host-with-a-long-name" * 9)
    assert RunFolder(run).status() == "interrupted"
    assert kit.train("vae", run).code == 0
    kit.require_equal(run, kit.reference("vae"))


def test_a_run_of_a_newer_version_is_named_so(tmp_path: Path) -> None:
    run = kit.interrupted("vae", tmp_path / "run")
    header = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**header, "schema": 2}))
    outcome = kit.train("vae", run)
    assert outcome.code == 78
    assert "install a newer mezzotint" in outcome.output


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lr": 0.5}, "lr="),
        ({"latent": 5}, "latent=4"),
        ({"steps": 15}, "images=448"),
        ({"flip": False}, "flip=true"),
    ],
)
def test_changed_options_are_named(change: dict[str, object], named: str, tmp_path: Path) -> None:
    run = kit.copy_of(kit.reference("vae"), tmp_path / "run")
    shutil.rmtree(run / "model")
    outcome = kit.train("vae", run, **change)
    assert outcome.code == 78
    assert named in outcome.output
    assert kit.files(run) == [n for n in kit.files(kit.reference("vae")) if n[:5] != "model"]


def test_changed_data_are_named(tmp_path: Path) -> None:
    run = kit.interrupted("vae", tmp_path / "run")
    pixels = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "other.npy", pixels)
    outcome = kit.train("vae", run, data=tmp_path / "other.npy")
    assert (outcome.code, "data=" in outcome.output) == (78, True)


def test_options_that_change_no_result_may_change(tmp_path: Path) -> None:
    run = kit.interrupted("vae", tmp_path / "run")
    assert kit.train("vae", run, checkpoint_seconds=1000, keep=3).code == 0
    assert kit.digests(run) == kit.digests(kit.reference("vae"))
    assert kit.history(run) == kit.history(kit.reference("vae"))
