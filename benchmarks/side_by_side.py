"""Side-by-side measurements: every side in a process of its own, taking turns A B A B.

A side is a set-up that runs once in its process and returns a function to be timed. Each round asks
every side for one figure, in the same order; a round's ratio is ours over the peer's, so that what
slows the machine down slows both. Round 0 warms up: it counts only in the cold ratio, together with
the set-up.
"""

import argparse
import multiprocessing
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from results import RESULTS, header, write_section

Facts = Mapping[str, float]
Measure = Callable[[int], "Figure"]


@dataclass(frozen=True)
class Figure:
    """One measurement.

    Attributes:
        work: units done, for example images.
        seconds: what they took.
        facts: numbers both sides must agree on.
    """

    work: float
    seconds: float
    facts: Facts = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.work / self.seconds


@dataclass(frozen=True)
class Side:
    """One contender: ``setup(**options)`` is called once in the side's own process."""

    name: str
    setup: Callable[..., Measure]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: what is compared.
        unit: what a second is full of.
        ours: our side.
        peers: the sides we are compared with.
        targets: peer name -> the ratio wanted; other peers are shown without one.
        tolerance: fact name -> (absolute, relative) difference of the sides' means allowed.
    """

    name: str
    unit: str
    ours: Side
    peers: Sequence[Side]
    targets: Mapping[str, float] = field(default_factory=dict)
    tolerance: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Process:
    """A side at work in its own process."""

    def __init__(self, side: Side, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.side = side
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(side, threads, theirs))
        self._process.start()
        self.setup_seconds = float(self._answer())
        self.figures: list[Figure] = []

    def measure(self, turn: int) -> None:
        """Take one figure; the first is the warm-up."""
        self._pipe.send(turn)
        self.figures.append(self._answer())

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()

    def _answer(self) -> Any:
        kind, value = self._pipe.recv()
        if kind == "error":
            raise SystemExit(f"{self.side.name} failed:\n{value}")
        return value

    @property
    def rates(self) -> list[float]:
        """Units a second of every round but the warm-up."""
        return [figure.rate for figure in self.figures[1:]]

    @property
    def cold_rate(self) -> float:
        """Units a second of the first round, set-up included."""
        first = self.figures[0]
        return first.work / (first.seconds + self.setup_seconds)

    def fact(self, name: str) -> float:
        """The mean of a fact over the rounds that count."""
        values = [figure.facts[name] for figure in self.figures[1:]]
        return sum(values) / len(values)


def _serve(side: Side, threads: int, pipe: Connection) -> None:
    try:
        import torch

        torch.set_num_threads(threads)
        clock = time.perf_counter()
        measure = side.setup(**side.options)
        pipe.send(("setup", time.perf_counter() - clock))
        while (turn := pipe.recv()) is not None:
            pipe.send(("figure", measure(turn)))
    except BaseException:
        pipe.send(("error", traceback.format_exc()))


def timed(work: float, job: Callable[[], Facts | None]) -> Figure:
    """Run a job once on the clock."""
    clock = time.perf_counter()
    facts = job()
    return Figure(work, time.perf_counter() - clock, facts or {})


def compare(case: Case, pairs: int, threads: int) -> list[str]:
    """Measure a case; Markdown table rows, one a peer."""
    print(f"{case.name}:", flush=True)
    sides = [Process(side, threads) for side in (case.ours, *case.peers)]
    for turn in range(pairs + 1):
        for side in sides:
            side.measure(turn)
        done = "  ".join(f"{s.side.name} {s.figures[-1].rate:,.5g}" for s in sides)
        print(f"  round {turn}{' (warm-up)' if turn == 0 else ''}: {done} {case.unit}", flush=True)
    for side in sides:
        side.close()
    ours, *peers = sides
    return [_row(case, ours, peer) for peer in peers]


def _row(case: Case, ours: Process, peer: Process) -> str:
    ratios = [a / b for a, b in zip(ours.rates, peer.rates, strict=True)]
    target = case.targets.get(peer.side.name)
    verdict = "" if target is None else f">= {target:g} {_met(median(ratios) >= target)}"
    cells = [
        case.name,
        peer.side.name,
        f"{median(ours.rates):,.4g}",
        f"{median(peer.rates):,.4g}",
        case.unit,
        f"**{median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})",
        f"{ours.cold_rate / peer.cold_rate:.2f}",
        verdict,
        "; ".join(_agreement(name, case, ours, peer) for name in case.tolerance),
    ]
    row = "| " + " | ".join(cells) + " |"
    print(f"  {row}", flush=True)
    return row


def _agreement(name: str, case: Case, ours: Process, peer: Process) -> str:
    mine, theirs = ours.fact(name), peer.fact(name)
    absolute, relative = case.tolerance[name]
    agree = abs(mine - theirs) <= max(absolute, relative * abs(theirs))
    return f"{name} {mine:.6g}, {theirs:.6g}: {'agree' if agree else 'DIFFER'}"


def _met(met: bool) -> str:
    return "(met)" if met else "(missed)"


COLUMNS = ("case", "peer", "ours", "peer's", "unit", "ratio (range)", "cold ratio", "target")
TABLE = [
    "| " + " | ".join((*COLUMNS, "same result")) + " |",
    "|" + " --- |" * (len(COLUMNS) + 1),
]


@dataclass(frozen=True)
class Benchmark:
    """A section of the results.

    Attributes:
        key: for example ``P1``.
        title: one line.
        notes: Markdown below the table: what exactly is compared.
        packages: whose versions go into the header.
    """

    key: str
    title: str
    notes: str
    packages: Sequence[str] = ()


def arguments(description: str | None) -> argparse.Namespace:
    """The command line all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pairs", type=int, default=5, help="rounds after the warm-up")
    parser.add_argument("--threads", type=int, default=2, help="torch threads of every side")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes; writes no results")
    parser.add_argument("--only", default="", help="run the cases whose name holds this")
    parser.add_argument("--results", type=Path, default=RESULTS, help="Markdown file to update")
    return parser.parse_args()


def run(benchmark: Benchmark, cases: Sequence[Case], options: argparse.Namespace) -> None:
    """Measure all cases and put the table into the results, except in a smoke run."""
    chosen = [case for case in cases if options.only in case.name]
    clock = time.perf_counter()
    rows = [row for case in chosen for row in compare(case, options.pairs, options.threads)]
    print(f"{benchmark.key}: {time.perf_counter() - clock:.0f} s")
    if options.smoke or options.only:
        return
    told = header(benchmark.packages, options.threads, options.pairs)
    body = "\n".join([f"## {benchmark.key}: {benchmark.title}", "", told, "", *TABLE, *rows])
    write_section(options.results, benchmark.key, f"{body}\n\n{benchmark.notes.strip()}\n")
