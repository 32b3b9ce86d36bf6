"""Which device, arithmetic and processes a run uses; the only place that talks to accelerate."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import torch

from mezzotint.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from accelerate import Accelerator

COMPILE_SECONDS = 60.0
COMPILE_GAIN = 0.3


def pick_precision(wanted: str) -> Literal["no", "bf16", "fp16"]:
    """accelerate's name of the arithmetic: ``auto`` is bf16 or fp16 on CUDA and fp32 elsewhere.

    Raises:
        ConfigError: fp16 was asked for where there is no CUDA device.
    """
    cuda = torch.cuda.is_available()
    if wanted == "fp16" and not cuda:
        fix = "precision=fp32; bf16 would run on a CPU, but 10 to 17 times slower"
        raise ConfigError("fp16 needs a CUDA device", where="precision", fix=fix)
    if wanted == "auto":
        return "no" if not cuda else "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[wanted]  # type: ignore[return-value]


def slow_precision(wanted: str) -> str | None:
    """What to say to someone who asks for half precision where it costs time, or None."""
    if wanted != "bf16" or torch.cuda.is_available():
        return None
    return (
        "warning: bf16 on a CPU trains 10 to 17 times slower than fp32 with this torch;"
        " leave precision out, or --set precision=fp32"
    )


def make_accelerator(precision: str) -> "Accelerator":
    """An accelerator for this process; under ``torchrun`` it joins the others.

    accelerate keeps one state a process and refuses other settings later, so it is dropped first.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state="RANK" not in os.environ)
    cuda = torch.cuda.is_available()
    return Accelerator(cpu=not cuda, mixed_precision=pick_precision(precision))


def should_compile(wanted: str, device: torch.device, seconds_left: float) -> bool:
    """Whether torch.compile repays its cost in the time that is left.

    On a CPU it takes minutes, gains 1.1 to 1.3 times, and changes rounding, which would break
    bit-exact resume; there it has to be asked for.
    """
    if wanted != "auto":
        return wanted == "on"
    return device.type == "cuda" and seconds_left * COMPILE_GAIN > COMPILE_SECONDS


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error is a failed allocation, on a GPU or on the CPU."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or (
        "out of memory" in text or "can't allocate memory" in text
    )


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Say it plainly when a process of a distributed run waits for another that is gone."""
    try:
        yield
    except RuntimeError as error:
        if "gloo" not in str(error) and not isinstance(error, torch.distributed.DistError):
            raise
        raise TrainingError(
            "another process of this run has ended",
            fix="see what it printed; the same command goes on from the last checkpoint",
        ) from error


def told_by_leader(accelerator: "Accelerator", number: int) -> int:
    """What the leading process says, on every process."""
    if accelerator.num_processes == 1:
        return number
    own = number if accelerator.is_main_process else 0
    return int(accelerator.reduce(torch.tensor(own, device=accelerator.device), "sum"))
