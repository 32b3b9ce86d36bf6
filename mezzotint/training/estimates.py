"""What training would take on this machine, found by a few real steps before anyone waits."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mezzotint.config import override
from mezzotint.data.dataset import Images
from mezzotint.data.form import natural_size
from mezzotint.data.survey import Survey
from mezzotint.training.feeding import Feed
from mezzotint.training.loop import Trainer
from mezzotint.training.plans import Plan, make_plan
from mezzotint.training.sizes import (
    choose,
    grades_of,
    limit_of,
    machine_speed,
    minutes_of,
    spoken,
)

FAMILIES = ("autoencoder", "vae", "gan", "diffusion")
SECONDS, FIRST = 0.8, 2.5  # of steps a probe; a first step longer than that is the probe
PASSES = 100
PROBED, SMALL_SIDE, BATCH, SMALL_BATCH = 64, 64, 16, 8
HELD_OUT = 0.1
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass(frozen=True)
class Probe:
    """What a few steps at one size have shown.

    Attributes:
        size: height and width.
        images_per_second: in training.
        seconds: until every picture has been seen 100 times.
        memory: peak bytes of the process, or of the GPU; None where it cannot be told.
        disk: bytes of a run and of the packed pictures.
    """

    size: tuple[int, int]
    images_per_second: float
    seconds: float
    memory: int | None
    disk: int


@dataclass(frozen=True)
class Estimate:
    """What one family would take.

    Attributes:
        family: its name.
        budget: seconds of training the size is chosen for.
        probe: at the size such a run takes.
        following: at the next size up; None where the pictures or the family have none.
        from_seconds: the training time from which that size is chosen, on this machine.
    """

    family: str
    budget: float
    probe: Probe
    following: Probe | None = None
    from_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def estimates(
    survey: Survey, channels: int, families: Sequence[str], budget: float
) -> Iterator[Estimate]:
    """Probe one family after another, each for about three seconds.

    Args:
        survey: of the pictures.
        channels: they are trained with.
        families: names.
        budget: seconds of training that sizes are chosen for.
    """
    for family in families:
        yield _estimate(make_plan(family, None, {"budget": budget}), survey, channels)


def _estimate(plan: Plan, survey: Survey, channels: int) -> Estimate:
    speed, _ = machine_speed()
    found = choose(grades_of(plan), minutes_of(plan.kind.kind, plan.recipe, speed))
    size = natural_size(survey, limit_of(plan))
    here = probe(plan, size, channels, survey.count)
    told = plan.kind.kind, float(plan.recipe.budget or 0), here
    if found.following is None or survey.short <= min(size):
        return Estimate(*told)
    longer = plan.lasting(found.following.minutes / speed * 60)
    larger = natural_size(survey, limit_of(longer))
    if larger == size:
        return Estimate(*told)
    after = probe(plan, larger, channels, survey.count)
    return Estimate(*told, after, longer.recipe.budget)


def probe(plan: Plan, size: tuple[int, int], channels: int, count: int) -> Probe:
    """Train on noise of a size for about a second.

    Args:
        plan: family and options.
        size: height and width.
        channels: of the images.
        count: pictures of the real set.
    """
    images, batch = _noise(size, channels), BATCH if max(size) <= SMALL_SIDE else SMALL_BATCH
    batch = plan.recipe.batch if plan.recipe.optimizer == "muon" else batch  # its step costs much
    family = plan.without_groups().build(images)
    recipe = override(plan.recipe, {"batch": min(batch, plan.recipe.batch), "compile": "off"})
    _forget_peak()
    trainer = Trainer(family, Feed(images, recipe.batch, family.inward), recipe)
    rate = _rate(trainer)
    train = max(1, round(count * (1 - HELD_OUT)))
    pack = count * int(np.prod(size)) * channels
    kept = recipe.keep + 1  # and the finished model, which is smaller
    disk = pack + kept * _bytes(
        tensor for group in trainer.tensors().values() for tensor in group.values()
    )
    return Probe(size, rate, PASSES * train / rate, _peak(), disk)


def _rate(trainer: Trainer) -> float:
    """Images a second after the first step, or of that step where it fills the time."""
    started, begun, before = time.perf_counter(), 0.0, 0
    for record in trainer.records():
        if trainer.accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if begun and now - begun > SECONDS:
            return (record.images - before) / (now - begun)
        if not begun and now - started > FIRST:
            return record.images / (now - started)
        if not begun:
            begun, before = now, record.images
    return record.images / (time.perf_counter() - started)


def table(found: Sequence[Estimate]) -> str:
    """One line a family and one for its next size up, under a line that says what they mean."""
    if not found:
        return ""
    heads = ("", "size", "images/s", f"all seen {PASSES} times", "memory", "disk", "")
    rows: list[tuple[str, ...]] = [heads]
    for each in found:
        rows.append((each.family, *_cells(each.probe), ""))
        if each.following is not None and each.from_seconds is not None:
            long = f"a run of {spoken(each.from_seconds / 60)} or more trains at this size"
            rows.append(("", *_cells(each.following), long))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
    _, machine = machine_speed()
    head = (
        f"plan for runs of {spoken(found[0].budget / 60)} (--budget) on {machine}, by a few steps"
    )
    return "\n".join([head, *("  " + line for line in lines)])


def _cells(found: Probe) -> tuple[str, ...]:
    height, width = found.size
    memory = "" if found.memory is None else _amount(found.memory)
    told = f"{found.images_per_second:,.0f}", spoken(found.seconds / 60)
    return f"{width}x{height}", *told, memory, _amount(found.disk)


def _amount(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"


def _noise(size: tuple[int, int], channels: int) -> Images:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (PROBED, *size, channels), dtype=np.uint8)
    rows, names = np.arange(PROBED), tuple(str(at) for at in range(PROBED))
    return Images(pixels, rows, None, (), None, names, rows, rows[:0], "", "noise")


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _forget_peak() -> None:
    """Start a new peak of memory, where the system can."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        CLEAR.write_text("5")
    except OSError:
        return


def _peak() -> int | None:
    """Peak bytes since then; on Linux of the process, on a GPU of its memory."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    told = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return 1024 * int(told[0]) if told else None
