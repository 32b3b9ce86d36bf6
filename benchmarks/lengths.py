"""How long the sides of a benchmark train: a budget of time, a number of images, or a rate's worth.

A long benchmark can be run in pieces: `--rate` measures, on a machine that does nothing else, how
many images each side sees in a second; `--by-rate` then trains every side for the images it would
have seen in the budget, however busy the machine is now. What was found is kept, a line a piece, in
`--keep`; `--table` makes the section of the results of it.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from results import RESULTS

from mezzotint.config import parse_count, parse_seconds

Length = Mapping[str, Any]
PREVIEWS = 10  # of a whole training, by default


def arguments(description: str | None, budget: str) -> argparse.ArgumentParser:
    """The options such benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--budget", default=budget, help="of wall clock, for a side")
    parser.add_argument("--images", help="images seen by a side instead, such as 500k")
    parser.add_argument("--rate", action="store_true", help="measure images a second and stop")
    parser.add_argument("--probe", type=float, default=90.0, help="seconds for a rate")
    parser.add_argument("--by-rate", action="store_true", help="as many images as the rates allow")
    parser.add_argument("--table", action="store_true", help="write the section and stop")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, required=True, help="runs, rates and rows go here")
    parser.add_argument("--results", type=Path, default=RESULTS, help="Markdown file to update")
    return parser


def length(options: argparse.Namespace, side: str, budget: str | None = None) -> Length:
    """What ``mz.train`` is told of a side's length; ``budget``: of this side, if not everyone's."""
    if options.images:
        return {"images": parse_count(options.images)}
    seconds = parse_seconds(budget or options.budget)
    if not options.by_rate:
        return {"budget": seconds}
    rates = json.loads((options.keep / "rates.json").read_text())
    return {"images": int(rates[side] * seconds)}


def measure_rates(options: argparse.Namespace, sides: Mapping[str, Callable[[Length], float]],
                  budget: Callable[[str], str]) -> None:  # fmt: skip
    """Images a second of each side in a short training, with its share of the previews.

    Args:
        options: ``keep`` is where ``rates.json`` goes, ``probe`` the seconds of a training.
        sides: name -> (length -> images seen).
        budget: name -> what the side is given in the real training.
    """
    path = options.keep / "rates.json"
    rates = json.loads(path.read_text()) if path.exists() else {}
    rates["threads"] = options.threads
    for name, seen in sides.items():
        share = options.probe / parse_seconds(budget(name))
        given = {"budget": options.probe, "previews": max(1, round(PREVIEWS * share))}
        before = time.process_time()
        found, spent = seen(given), time.process_time() - before
        rates[name] = found / (spent if options.threads == 1 else options.probe)
        print(f"{name}: {rates[name]:,.0f} images/s", flush=True)
    options.keep.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rates, indent=1))


def told(options: argparse.Namespace, budget: str) -> str:
    """How long the sides trained, for the head of a section."""
    if options.images:
        return f"{options.images} images a side"
    if options.by_rate:
        return f"as many images as {budget} hold at the rate of a quiet machine {_threads(options)}"
    return f"{budget} of wall clock"


def _threads(options: argparse.Namespace) -> str:
    rates = json.loads((options.keep / "rates.json").read_text())
    return "with one thread" if rates.get("threads", 2) == 1 else "with two threads"


def keep_row(options: argparse.Namespace, name: str, row: Mapping[str, Any]) -> None:
    """Add a line to the rows of a benchmark; processes side by side may."""
    options.keep.mkdir(parents=True, exist_ok=True)
    line = json.dumps({**row, "threads": torch.get_num_threads()})
    with (options.keep / f"{name}.jsonl").open("a") as file:
        file.write(line + "\n")
    print(line, flush=True)


def kept_rows(options: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    """The rows so far, in the order of their ends."""
    path = options.keep / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
