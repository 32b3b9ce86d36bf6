"""Kill trainings at random moments and see whether each ends like the unbroken run.

    python benchmarks/kills.py --kills 200

Every seed draws a kind of run and moments of death, in real time, so that kills land wherever the
process happens to be; then the same command is started until it finishes. Each line says how often
the run was killed and whether everything equals the unbroken run: the SHA-256 of model, averages,
optimiser, final model and pictures, the history, the counters and the list of files. A seed that
failed is repeated with ``--first SEED --count 1``; ``--log FILE`` keeps the results, and seeds that
are in it already are not run again.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import results as results_file
import training_kit as kit

MOST_KILLS = 4
NOTE = (
    "Trainings killed by SIGKILL at random moments in real time and started again until they end.\n"
    "Equal: SHA-256 of model, averages, optimiser, final model and pictures, the history, the\n"
    "counters and the list of files are those of the unbroken run."
)


@dataclass(frozen=True)
class Result:
    """What became of a seed.

    Attributes:
        seed: of case and moments.
        case: kind of run.
        kills: deaths before the run finished.
        verdict: ``equal``, or what differs.
    """

    seed: int
    case: str
    kills: int
    verdict: str


def unbroken_seconds(case: str) -> float:
    """How long an unbroken run takes, for aiming."""
    kit.reference(case)
    start = time.monotonic()
    kit.train(case, kit.home() / f"timed-{case}")
    return time.monotonic() - start


def try_seed(seed: int, lengths: dict[str, float]) -> Result:
    """Kill one run at random, let it finish, compare."""
    draw = random.Random(seed)
    case = draw.choice(sorted(lengths))
    run = kit.home() / f"seed-{seed}"
    job = kit.training(case, run)
    kills = 0
    for _ in range(draw.randint(1, MOST_KILLS)):
        moment = draw.uniform(0, lengths[case])
        if kit.zygote().run(replace(job, kill_after=moment))[0].code == kit.KILLED:
            kills += 1
    outcome = kit.zygote().run(job)[0]
    verdict = _compare(run, kit.reference(case)) if outcome.code == 0 else outcome.output[-300:]
    return Result(seed, case, kills, verdict)


def _compare(run: Path, unbroken: Path) -> str:
    try:
        kit.require_equal(run, unbroken)
    except AssertionError as error:
        return f"differs: {str(error)[:300]}"
    return "equal"


def known(log: Path | None) -> list[Result]:
    """Results of earlier calls."""
    if log is None or not log.exists():
        return []
    return [Result(**json.loads(line)) for line in log.read_text().splitlines()]


def table(results: list[Result]) -> str:
    """Runs, kills and equal endings of each kind of run, as Markdown."""
    rows = ["| run | runs | kills | ended equal |", "|---|---|---|---|"]
    for case in [*sorted({result.case for result in results}), "all"]:
        mine = [result for result in results if case in (result.case, "all")]
        equal = Counter(result.verdict for result in mine)["equal"]
        kills = sum(result.kills for result in mine)
        rows.append(f"| {case} | {len(mine)} | {kills} | {equal} |")
    return "\n".join(rows)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--kills", type=int, default=200, help="stop after so many kills")
    parser.add_argument("--count", type=int, default=None, help="seeds at the most")
    parser.add_argument("--log", type=Path, default=None, help="JSON lines with the results")
    return parser.parse_args()


def main() -> int:
    """Run the seeds and print the table; 1 if a run differs."""
    options = parse()
    results = known(options.log)
    done = {result.seed for result in results}
    lengths = {case: unbroken_seconds(case) for case in kit.CASES}
    seed = options.first
    while sum(result.kills for result in results) < options.kills:
        if options.count is not None and seed >= options.first + options.count:
            break
        if seed not in done:
            results.append(try_seed(seed, lengths))
            print(f"{seed:5} {results[-1].case:10} {results[-1].kills} {results[-1].verdict}")
            if options.log is not None:
                with options.log.open("a") as file:
                    file.write(json.dumps(asdict(results[-1])) + "\n")
        seed += 1
    print(table(results))
    head = results_file.header([], 1, 1)
    text = f"## Random kills\n\n{head}\n\n{table(results)}\n\n{NOTE}\n"
    results_file.write_section(results_file.RESULTS, "KILLS", text)
    return int(any(result.verdict != "equal" for result in results))


if __name__ == "__main__":
    sys.exit(main())
