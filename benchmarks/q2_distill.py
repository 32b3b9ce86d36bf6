"""Q2: a student that samples in one or two steps, tuned in a quarter of its teacher's time.

The teacher is a run of the default preset on fashion-mnist (Q1 keeps one with --keep). Quality is
FD[lenet] of 2,000 samples, speed images a second of the same number of images, sides taking turns.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from fashion_judge import coverage, distance, judge, look
from results import RESULTS, header, write_section

import mezzotint as mz

ROUNDS, TIMED, JUDGED = 5, 128, 2000
Make = Callable[[int], np.ndarray]


def sampler(model: mz.Diffusion, **settings: object) -> Make:
    """count -> samples."""
    return lambda count: mz.sample(model, count, **settings)


def speed(make: Make) -> float:
    """Images a second."""
    clock = time.perf_counter()
    make(TIMED)
    return TIMED / (time.perf_counter() - clock)


def main() -> None:
    """Distil, measure and write the section Q2."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the teacher")
    parser.add_argument("--budget", default="150s", help="of the tuning")
    parser.add_argument("--count", type=int, default=JUDGED, help="samples judged")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    teacher = mz.load(options.run)
    with tempfile.TemporaryDirectory() as home:
        run = mz.distill(
            options.run, "fashion-mnist", out=Path(home) / "student", budget=options.budget
        )
        student, seen = run.model, run.history[-1]["images"]
    sides = {
        f"teacher, {teacher.config.solver}, {teacher.config.steps} steps": sampler(teacher),
        "student, 2 steps": sampler(student, steps=2),
        "student, 1 step": sampler(student, steps=1),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, make in sides.items():
            rate = speed(make)
            if turn:
                rates[name].append(rate)
    net, data = judge(), mz.load_images("fashion-mnist")
    reference, _ = look(net, data.held_out.gather(range(len(data.held_out))))
    first, rows = next(iter(sides)), []
    for name, make in sides.items():
        made = make(options.count)
        ratio = median(a / b for a, b in zip(rates[name], rates[first], strict=True))
        cells = [name, f"{distance(net, made, reference):.2f}",
                 f"{coverage(net, made, reference):.3f}", f"{median(rates[name]):.0f}",
                 f"{ratio:.1f}"]  # fmt: skip
        rows.append("| " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    told = (
        f"{header([], options.threads, ROUNDS)} Tuned for {options.budget} of wall clock, "
        f"{seen:,} images; {options.count:,} samples judged, {TIMED} timed. Targets: an FD at most "
        "15% above the teacher's, at least 4 times its images a second."
    )
    table = ["| sampler | FD[lenet] | coverage | images/s | times the teacher's |",
             "|---|---|---|---|---|"]  # fmt: skip
    title = "## Q2: one or two steps after a quarter of the training time\n"
    write_section(RESULTS, "Q2", "\n".join([title, told, "", *table, *rows]) + "\n")


if __name__ == "__main__":
    main()
