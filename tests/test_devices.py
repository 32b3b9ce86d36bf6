"""Arithmetic, compiling and trackers: decisions, not hardware."""

import sys
import types

import pytest
import torch

from mezzotint.errors import ConfigError, MissingExtraError
from mezzotint.training import devices
from mezzotint.training.trackers import open_tracker

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("wanted", "device", "left", "compiles"),
    [
        ("auto", CUDA, 3600, True),
        ("auto", CUDA, 60, False),
        ("auto", CPU, 36000, False),
        ("on", CPU, 1, True),
        ("off", CUDA, 36000, False),
    ],
)
def test_compiling_has_to_pay(wanted, device, left, compiles):
    assert devices.should_compile(wanted, device, left) is compiles


@pytest.mark.parametrize(
    ("cuda", "bf16", "wanted", "picked"),
    [
        (False, False, "auto", "no"),
        (True, True, "auto", "bf16"),
        (True, False, "auto", "fp16"),
        (True, True, "fp32", "no"),
        (False, False, "bf16", "bf16"),
    ],
)
def test_precision(monkeypatch, cuda, bf16, wanted, picked):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    assert devices.pick_precision(wanted) == picked


def test_fp16_without_cuda_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="bf16"):
        devices.pick_precision("fp16")


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_out_of_memory_is_recognised(error, memory):
    assert devices.is_out_of_memory(error) is memory


def test_tensorboard_gets_every_number(monkeypatch, tmp_path):
    calls = []

    class Writer:
        def __init__(self, folder):
            calls.append(folder)

        def add_scalar(self, name, value, step):
            calls.append((name, value, step))

        def close(self):
            calls.append("closed")

    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    track = open_tracker(True, tmp_path)
    track({"images": 128, "step": 1, "progress": 0.5, "seconds": 1.0, "loss": 0.25})
    track(None)
    assert calls == [str(tmp_path / "tensorboard"), ("loss", 0.25, 128), "closed"]


def test_missing_tensorboard_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"mezzotint\[tensorboard\]"):
        open_tracker(True, tmp_path)


@pytest.mark.slow
def test_a_compiled_run_learns_the_same(tmp_path):
    import mezzotint as mz

    losses = []
    for compiled in ("off", "on"):
        options = {"size": 16, "widths": (8,), "images": 2048, "batch": 64, "compile": compiled}
        run = mz.train("autoencoder", "digits", tmp_path / compiled, **options)
        losses.append(run.history[-1]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
