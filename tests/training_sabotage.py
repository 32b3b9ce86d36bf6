"""Ways to hurt a training process from inside; called in a forked child before the command."""

import ctypes
import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mezzotint.runs import checkpoint
from mezzotint.storage import files
from mezzotint.training import loop as training
from mezzotint.training import models
from mezzotint.training import session as sessions
from mezzotint.training.feeding import Feed


def no_curve() -> None:
    """Leave the curve out: drawing it takes longer than the training."""
    sessions.draw_curves = lambda path, lines, title: None


def short_distilling(images: int = 320) -> None:
    """Distilling counts images, 32 a step, as exact resuming needs, and saves after every step."""
    from functools import partial

    from mezzotint import api

    length = {"images": images, "batch": 32, "previews": 1, "checkpoint_seconds": 0}
    api.distill = partial(api.distill, **length)


def no_groups() -> None:
    """Looking for groups of alike images is an error."""
    from mezzotint.families.groups import Groups

    def refuse(*args: Any) -> None:
        raise AssertionError("the groups were known")

    Groups.fit = refuse


def broken_sampling() -> None:
    """What a diffusion network says of a noisy image is infinite while it samples."""
    from mezzotint.families.diffusion import Diffusion

    _around(Diffusion, "seen", _infinite)


def _infinite(original: Any, *args: Any) -> Any:
    made = original(*args)
    return made._replace(clean=made.clean / 0)


def signal_at(point: str, number: int, times: int = 1, pause: float = 0.0) -> None:
    """The process gets a signal at a fault point ``name:count``, again after each pause."""
    from mezzotint.storage import faults

    reached: dict[str, int] = {}

    def send(name: str) -> None:
        reached[name] = reached.get(name, 0) + 1
        if f"{name}:{reached[name]}" == point:
            for _ in range(times):
                os.kill(os.getpid(), number)
                time.sleep(pause)

    faults.point = send


def _around(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: wrapper(original, *args, **kwargs))


def bad_loss(calls: list[int], value: str = "nan") -> None:
    """The loss is ``value`` at these backward passes of the process (counted from 1)."""
    count = 0

    def wrapper(original: Callable[..., Any], *args: Any) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        losses = original(*args)
        return {**losses, "loss": losses["loss"] * float(value)} if count in calls else losses

    _around(training.Trainer, "_backward", wrapper)


def bad_gradient(calls: list[int], value: str = "nan") -> None:
    """One gradient is ``value`` at these steps while the loss is finite."""
    count = 0

    def wrapper(original: Callable[..., Any], trainer: Any, seat: Any, *args: Any) -> Any:
        nonlocal count
        count += 1
        losses = original(trainer, seat, *args)
        if count in calls:
            next(seat.turn.parameters()).grad.view(-1)[0] = float(value)
        return losses

    _around(training.Trainer, "_backward", wrapper)


def bad_weight(calls: list[int], value: str = "nan") -> None:
    """One weight is ``value`` after these steps."""
    count = 0

    def wrapper(original: Callable[..., Any], trainer: Any, *args: Any) -> Any:
        nonlocal count
        count += 1
        losses = original(trainer, *args)
        if count in calls:
            with torch.no_grad():
                list(trainer.family.parameters())[-1].view(-1)[0] = float(value)
        return losses

    _around(training.Trainer, "_step", wrapper)


def bad_optimiser(calls: list[int]) -> None:
    """One second moment is infinite after these steps; weights and losses stay finite."""
    count = 0

    def wrapper(original: Callable[..., Any], trainer: Any, seat: Any, *args: Any) -> Any:
        nonlocal count
        count += 1
        losses = original(trainer, seat, *args)
        if count in calls:
            entry = next(iter(seat.optimiser.state.values()))
            entry["exp_avg_sq"].view(-1)[0] = float("inf")
        return losses

    _around(training.Trainer, "_step", wrapper)


def bad_image(row: int) -> None:
    """Training image ``row`` is NaN whenever it is read."""

    def wrapper(original: Callable[..., Any], feed: Feed, rows: Any) -> Tensor:
        pixels: Tensor = original(feed, rows)
        for place, found in enumerate(rows):
            if found == row:
                pixels[place] = float("nan")
        return pixels

    _around(Feed, "pixels", wrapper)


def small_memory(images: int) -> None:
    """More than so many images at once do not fit into memory."""

    def wrapper(original: Callable[..., Any], feed: Feed, rows: Any, *args: Any, **kw: Any) -> Any:
        if len(rows) > images:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return original(feed, rows, *args, **kw)

    _around(Feed, "batch", wrapper)


def file_limit(size: int) -> None:
    """No file of a checkpoint can grow beyond ``size`` bytes."""
    import resource

    def wrapper(original: Callable[..., Any], *args: Any) -> Any:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            return original(*args)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    _around(checkpoint, "save", wrapper)


def full_disk_in(part: str) -> None:
    """Writing a file of our own below a path containing ``part`` fails with ENOSPC."""

    def wrapper(original: Callable[..., Any], path: Path, content: bytes) -> Any:
        if part in str(path):
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return original(path, content)

    for module in (files, models, checkpoint):
        _around(module, "write_bytes", wrapper)


def heed_permissions() -> None:
    """Take the power to write where the mode forbids it (CAP_DAC_OVERRIDE) away, from root too."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; low words, then high
    assert libc.capget(header, sets) == 0
    sets[0] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0


def tell_writes(log: str) -> None:
    """Append every path this process opens for writing, renames or creates to ``log``."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & writing
        if opened or event in ("os.rename", "os.mkdir", "os.remove", "shutil.rmtree"):
            os.write(handle, f"{event} {arguments[0]}\n".encode())

    sys.addaudithook(hook)


def collapsing(step: int, times: int) -> None:
    """After ``step`` the generator makes one image, until there were ``times`` roll-backs."""

    def wrapper(original: Callable[..., Any], trainer: Any, *args: Any) -> Any:
        losses = original(trainer, *args)
        if trainer.step + 1 == step and trainer.rollbacks < times:
            held = [trainer.family.state_dict(), trainer.averages.main.tensors]
            for tensors in held:
                for name, tensor in tensors.items():
                    if name.startswith("generator.head"):
                        tensor.zero_()
        return losses

    _around(training.Trainer, "_iterate", wrapper)
