"""G3: runs with bad settings on digits, with the collapse watch and without.

Whether a run has ended collapsed is not for the watch to say, nor for what it looks at: 1,000
samples are judged on the features of a classifier trained on the digits (the extractor `data`).
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lengths import Length, arguments, keep_row, kept_rows, length, measure_rates, told
from results import header, write_section

import mezzotint as mz
from mezzotint.data.dataset import Pixels
from mezzotint.errors import CollapseError, MissingInputError
from mezzotint.features.extractor import classify, extract
from mezzotint.features.table import open_extractor
from mezzotint.metrics.diversity import vendi
from mezzotint.metrics.neighbours import prdc
from mezzotint.progress import Silent
from mezzotint.runs.folder import RunFolder

SAMPLES, LEAST = 1000, 0.01
MODES, COVERED, VARIED = 8, 0.1, 0.3  # below any of them a run has collapsed
SETTINGS = {
    "no penalty": {"penalty": "none"},
    "no penalty, BCE": {"objective": "non-saturating", "penalty": "none"},
    "weak critic": {"objective": "hinge", "penalty": "none", "generator_steps": 4},
    "Wasserstein, weak penalty": {"preset": "wgan-gp", "penalty_weight": 0.1},
    "classic": {"preset": "classic"},
}
RATES = (1e-3, 3e-3, 1e-2)
SEEDS = (0, 1)


def train(given: Length, setting: str, rate: float, seed: int, watch: bool, folder: Path) -> str:
    """One `train` command; what ended it early, or nothing."""
    options = {**SETTINGS[setting], "lr": rate, "seed": seed, "watch": watch, **given}
    try:
        mz.train("gan", "digits", out=folder, **options)
    except CollapseError as error:
        return str(error.what)
    return ""


def judged(made: Pixels) -> dict[str, float]:
    """Modes, and coverage and number of unlike images as shares of what training images score."""
    data = mz.load_images("digits")
    extractor = open_extractor("data", data, Silent())
    rows = np.random.default_rng(0).permutation(len(data.train))[:SAMPLES]
    pixels = data.train.gather(rows)
    real, features = (extract(extractor, images, Silent()) for images in (pixels, made))
    classes = classify(extractor, made, Silent())
    first, second = real[: SAMPLES // 2], real[SAMPLES // 2 :]
    covered, usual = prdc(first, features[: SAMPLES // 2]), prdc(first, second)
    return {
        "modes": int((np.bincount(classes, minlength=10) / len(made) >= LEAST).sum()),
        "coverage": covered.coverage / usual.coverage,
        "vendi": vendi(features) / vendi(real),
    }


def collapsed(row: dict[str, float]) -> bool:
    """Whether the samples of what a run has left are too few kinds, or hardly images at all."""
    return row["modes"] < MODES or row["coverage"] < COVERED or row["vendi"] < VARIED


def measure(options: argparse.Namespace, setting: str, rate: float, seed: int, watch: bool) -> None:
    """Train one cell of the grid, judge what the folder then holds, keep the row."""
    name = f"{setting}-{rate:g}-{seed}-{'watch' if watch else 'none'}".replace(" ", "_")
    folder = options.keep / name
    stopped = train(length(options, setting), setting, rate, seed, watch, folder)
    row = {"setting": setting, "rate": rate, "seed": seed, "watch": watch, "stopped": stopped}
    row["events"] = sum("event" in line for line in RunFolder(folder).lines())
    try:
        made = mz.sample(mz.load(folder), SAMPLES)
    except MissingInputError:  # stopped before there was anything sound
        keep_row(options, "g3", {**row, "modes": 0, "coverage": 0.0, "vendi": 0.0})
        return
    mz.images.save_image(options.keep / f"{name}.png", mz.images.grid(made[:64]))
    keep_row(options, "g3", {**row, **judged(made)})


def table(options: argparse.Namespace) -> None:
    """Write the section of the rows kept so far."""
    rows = kept_rows(options, "g3")
    lines = ["| settings | runs | collapsed without | collapsed with | went back | stopped |",
             "|---" * 6 + "|"]  # fmt: skip
    for setting in (*SETTINGS, ""):
        own = [row for row in rows if setting in ("", row["setting"])]
        sides = {watch: [row for row in own if row["watch"] is watch] for watch in (False, True)}
        cells = [setting or "**all**", str(max(map(len, sides.values())))]
        cells += [str(sum(map(collapsed, sides[watch]))) for watch in (False, True)]
        cells += [str(sum(row["events"] > 0 for row in sides[True]))]
        cells += [str(sum(bool(row["stopped"]) for row in sides[True]))]
        lines.append("| " + " | ".join(cells) + " |")
    head = f"{header([], options.threads, 1)} Each run: {told(options, options.budget)}."
    body = ["## G3: bad settings, with and without the collapse watch", "", head + NOTES, "",
            *lines]  # fmt: skip
    write_section(options.results, "G3", "\n".join(body) + "\n")


NOTES = (
    f" Digits; every setting at the learning rates {', '.join(f'{rate:g}' for rate in RATES)} and "
    f"{len(SEEDS)} seeds. {SAMPLES:,} samples of what the run folder holds at the end are judged "
    "on features that the watch does not see (a classifier of the digits, extractor `data`): "
    f"collapsed is fewer than {MODES} of 10 classes with {LEAST:.0%} of the samples each, or a "
    f"coverage below {COVERED:g} or a Vendi score below {VARIED:g} of what training images score. "
    "A run that the watch stopped and that left no model counts as collapsed. `went back`: runs "
    "the watch alarmed in at least once; `stopped`: ended with its report. Target: at most a fifth "
    "collapsed with the watch."
)


def _probe(setting: str) -> Callable[[Length], float]:
    def seen(given: Length) -> float:
        with tempfile.TemporaryDirectory() as home:
            train(given, setting, 2e-4, 0, True, Path(home) / "run")
            return float(RunFolder(Path(home) / "run").lines()[-1]["images"])

    return seen


def main() -> None:
    """Train the cells of the grid, or do what the options say."""
    parser = arguments(__doc__, "45s")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--watch", nargs="+", default=["on", "off"], choices=["on", "off"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.rate:
        sides = {setting: _probe(setting) for setting in options.settings}
        measure_rates(options, sides, lambda name: options.budget)
        return
    cells = itertools.product(options.settings, options.rates, options.seeds, options.watch)
    for setting, rate, seed, watch in () if options.table else cells:
        measure(options, setting, rate, seed, watch == "on")
    table(options)


if __name__ == "__main__":
    main()
