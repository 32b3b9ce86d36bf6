"""Several processes train like one, write like one, and stop, fail and resume together."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_kit as kit

from mezzotint.runs.folder import RunFolder


def _pair(case: str, run: Path, fault: str = "", **more: Any) -> list[kit.Outcome]:
    """Train with two processes."""
    return kit.zygote().run(*kit.ranks(kit.training(case, run, fault, **more)))


def _require_same_curve(run: Path, single: Path) -> None:
    """Every number of the history agrees within 1e-4, and so does every weight."""
    lines, expected = kit.history(run), kit.history(single)
    assert [sorted(line) for line in lines] == [sorted(line) for line in expected]
    for line, wanted in zip(lines, expected, strict=True):
        assert line == pytest.approx(wanted, rel=1e-4)
    for stem in ("model", "ema"):
        for name, tensor in kit.newest(run).tensors[stem].items():
            wanted = kit.newest(single).tensors[stem][name]
            np.testing.assert_allclose(tensor, wanted, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def pair() -> Path:
    """An unbroken run of two processes."""
    run = kit.home() / "pair"
    assert [outcome.code for outcome in _pair("denoising", run)] == [0, 0]
    return run


def test_two_processes_give_the_curve_of_one(pair: Path) -> None:
    _require_same_curve(pair, kit.reference("denoising"))
    assert kit.files(pair) == kit.files(kit.reference("denoising"))


@pytest.mark.parametrize(("case", "options"), [("vae", {}), ("micro", {"batch": 25}), ("muon", {})])
def test_other_families_and_uneven_shares(
    case: str, options: dict[str, Any], tmp_path: Path
) -> None:
    assert [outcome.code for outcome in _pair(case, tmp_path / "run", **options)] == [0, 0]
    single = tmp_path / "single"
    assert kit.train(case, single, **options).code == 0
    _require_same_curve(tmp_path / "run", single)


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "writes.txt"
    first, second = kit.ranks(kit.training("denoising", run))
    watched = replace(second, sabotage={**second.sabotage, "tell_writes": {"log": str(log)}})
    assert [outcome.code for outcome in kit.zygote().run(first, watched)] == [0, 0]
    assert [line for line in log.read_text().splitlines() if str(run) in line] == []


@pytest.mark.parametrize("fault", ["step.update:5", "checkpoint.file:16", "history.half:3"])
def test_a_killed_pair_resumes_exactly(fault: str, pair: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    codes = [outcome.code for outcome in _pair("denoising", run, fault)]
    assert codes[0] == kit.KILLED
    assert codes[1] != 0
    assert [outcome.code for outcome in _pair("denoising", run)] == [0, 0]
    kit.require_equal(run, pair)


@pytest.mark.parametrize("told", [0, 1])
def test_a_signal_to_one_process_stops_both(told: int, pair: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    jobs = kit.ranks(kit.training("denoising", run))
    arguments = {"point": "step.update:5", "number": signal.SIGTERM}
    jobs[told] = replace(jobs[told], sabotage={**jobs[told].sabotage, "signal_at": arguments})
    outcomes = kit.zygote().run(*jobs)
    assert outcomes[told].code == 143, outcomes[told].output
    assert all(outcome.code > 128 for outcome in outcomes)
    assert not RunFolder(run).finished()
    assert kit.newest(run).state["step"] == 5
    assert [outcome.code for outcome in _pair("denoising", run)] == [0, 0]
    kit.require_equal(run, pair)


@pytest.mark.parametrize("kind", ["bad_loss", "bad_gradient", "bad_weight"])
def test_both_roll_back_together(kind: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcomes = _pair("denoising", run, hurt={kind: {"calls": [6]}})
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes[0].output
    assert "(1 of 3)" in outcomes[0].output
    assert kit.newest(run).state["rollbacks"] == 1
    assert [line["step"] for line in kit.history(run)] == [3, 6, 9, 12, 14]


def test_a_bad_gradient_of_one_process_rolls_both_back(tmp_path: Path) -> None:
    run = tmp_path / "run"
    jobs = kit.ranks(kit.training("denoising", run, checkpoint_seconds=1000))
    hurt = {"bad_image": {"row": _row_of_the_second_share(step=6)}}
    jobs = [replace(job, sabotage={**job.sabotage, **hurt}) for job in jobs]
    assert [outcome.code for outcome in kit.zygote().run(*jobs)] == [0, 0]
    assert kit.newest(run).state["rollbacks"] == 1


def _row_of_the_second_share(step: int) -> int:
    from mezzotint.data.batches import rows_at
    from mezzotint.data.store import load_images
    from mezzotint.seeds import mix

    count = len(load_images(str(kit.data())).train)
    return int(rows_at(count, mix(0, 0), (step - 1) * kit.BATCH, kit.BATCH)[-1])


def test_a_held_run_refuses_both(tmp_path: Path) -> None:
    run = kit.interrupted("denoising", tmp_path / "run")
    with RunFolder(run).hold():
        outcomes = _pair("denoising", run)
    assert outcomes[0].code == 75
    assert outcomes[1].code == 1
    assert "another process of this run has ended" in outcomes[1].output


def _torchrun(run: Path, **options: Any) -> list[str]:
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    words = [torchrun, "--standalone", "--nproc_per_node", "2", "-m", "mezzotint"]
    return words + kit.command("denoising", run, **options)


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_torchrun_resumes_and_finishes(pair: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    _pair("denoising", run, "step.update:5")
    words = _torchrun(run)
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr
    assert kit.digests(run) == kit.digests(pair)
    assert kit.history(run) == kit.history(pair)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_torchrun_hands_a_signal_on(number: int, tmp_path: Path) -> None:
    run, options = tmp_path / "run", {"steps": 150, "log_every": 10, "checkpoint_seconds": 1000}
    words = _torchrun(run, **options)
    with subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        kit.wait_until((run / "history.jsonl").exists)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "everything up to here is saved" in errors
    assert not RunFolder(run).finished()
    assert kit.newest(run).state["step"] >= 10
    assert [outcome.code for outcome in _pair("denoising", run, **options)] == [0, 0]
    assert kit.train("denoising", tmp_path / "single", **options).code == 0
    _require_same_curve(run, tmp_path / "single")
