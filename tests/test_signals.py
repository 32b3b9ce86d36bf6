"""Ctrl-C and SIGTERM: a complete checkpoint, the right exit code, and the run goes on after."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import training_kit as kit

from mezzotint.training.signals import ECHO_SECONDS, StopRequest

SELDOM = {"checkpoint_seconds": 1000}


def _hurt(point: str, number: int, times: int = 1, pause: float = 0.0) -> dict[str, object]:
    arguments = {"point": point, "number": number, "times": times, "pause": pause}
    return {"signal_at": arguments}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("point", "step"),
    [("step.update:5", 5), ("history.half:2", 7), ("sample.done:1", 10), ("checkpoint.file:2", 1)],
)
def test_a_signal_saves_and_the_run_goes_on(
    number: int, point: str, step: int, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    outcome = kit.train("vae", run, hurt=_hurt(point, number), **SELDOM)
    assert outcome.code == 128 + number
    assert "everything up to here is saved" in outcome.output
    assert "Traceback" not in outcome.output
    assert kit.newest(run).state["step"] == step
    assert kit.litter(run) == []
    assert kit.train("vae", run, **SELDOM).code == 0
    assert kit.digests(run) == kit.digests(kit.reference("vae"))
    assert kit.history(run) == kit.history(kit.reference("vae"))


@pytest.mark.parametrize("point", ["model.rename:1", "step.update:14"])
def test_a_signal_when_all_is_done_lets_the_run_finish(point: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert kit.train("vae", run, hurt=_hurt(point, signal.SIGTERM)).code == 0
    kit.require_equal(run, kit.reference("vae"))


@pytest.mark.parametrize(
    ("point", "saved"), [("step.update:5", 4), ("checkpoint.file:14", 3), ("sample.done:1", 8)]
)
def test_a_second_signal_leaves_at_once(point: str, saved: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    twice = _hurt(point, signal.SIGINT, times=2, pause=ECHO_SECONDS + 0.05)
    outcome = kit.train("vae", run, hurt=twice)
    assert outcome.code == 130
    assert "Traceback" not in outcome.output
    assert kit.newest(run).state["step"] == saved
    assert kit.litter(run) == []
    assert kit.train("vae", run).code == 0
    kit.require_equal(run, kit.reference("vae"))


def test_the_echo_of_a_launcher_counts_as_one(tmp_path: Path) -> None:
    twice = _hurt("step.update:5", signal.SIGINT, times=2)
    outcome = kit.train("vae", tmp_path / "run", hurt=twice, **SELDOM)
    assert outcome.code == 130
    assert kit.newest(tmp_path / "run").state["step"] == 5


def test_the_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stop = StopRequest()
    with stop.listening():
        assert not stop
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop
        assert stop.signal_number == signal.SIGTERM
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


LONG = {"steps": 400, "log_every": 20, "checkpoint_seconds": 1000}


def _interrupt(run: Path, number: int) -> tuple[int, str, float]:
    """Send a signal to a real command at work: exit code, errors, seconds until it was gone."""
    words = [sys.executable, "-m", "mezzotint", *kit.command("denoising", run, **LONG)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True) as process:
        kit.wait_until((run / "history.jsonl").exists)
        process.send_signal(number)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors, time.monotonic() - start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_real_command(number: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, errors, seconds = _interrupt(run, number)
    assert (code, "Traceback" in errors) == (128 + number, False)
    assert seconds < 10
    last = kit.history(run)[-1]["step"]
    assert 0 <= kit.newest(run).state["step"] - last < LONG["log_every"]
    assert kit.litter(run) == []
    if number == signal.SIGINT:
        unbroken = tmp_path / "unbroken"
        jobs = [kit.training("denoising", path, **LONG) for path in (run, unbroken)]
        assert [outcome.code for outcome in kit.zygote().run(*jobs)] == [0, 0]
        assert kit.digests(run) == kit.digests(unbroken)
        assert kit.history(run) == kit.history(unbroken)
