"""G1: Fashion-MNIST GANs judged by FD[lenet], modes found and recall; the plain loop beside them.

`default` and `plain` (the reference DCGAN by the loop most people write) have the whole budget and
two seeds each, the other presets half of it and one. See lengths.py for how to run it in pieces.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from fashion_judge import Lenet, distance, judge, look
from lengths import Length, arguments, keep_row, kept_rows, length, measure_rates, told
from plain_gan import draw, train_classic
from results import header, write_section

import mezzotint as mz
from mezzotint.config import parse_seconds
from mezzotint.metrics.neighbours import prdc

SAMPLES, MODES, LEAST = 2000, 10, 0.01
BATCH = 128  # of the plain loop, as of DCGAN's example
SHARES = {"default": 1.0, "plain": 1.0, "classic": 1.0, "wgan-gp": 0.5, "sngan": 0.5, "r3gan": 0.5}
SEEDS = {"default": (0, 1), "plain": (0, 1)}
Made = tuple[np.ndarray, int]


def preset(name: str) -> Callable[[Length, int, Path], Made]:
    """One of our presets without classes, by one `train` command."""

    def make(given: Length, seed: int, folder: Path) -> Made:
        options = {"preset": name, "seed": seed, "classes": (), **given}
        run = mz.train("gan", "fashion-mnist", out=folder, **options)
        return mz.sample(run.model, SAMPLES), run.history[-1]["images"]

    return make


def plain(given: Length, seed: int, folder: Path) -> Made:
    """The reference DCGAN by the plain loop; of its two ways to sample, the better is taken."""
    data = mz.load_images("fashion-mnist").train
    pixels = torch.from_numpy(np.array(data.gather(range(len(data))))).permute(0, 3, 1, 2)
    generator, seen = train_classic(
        pixels.contiguous(), seed, BATCH, given.get("images"), given.get("budget")
    )
    net, reference = judge(), references(judge())[0]
    ways = [draw(generator.train(mode), SAMPLES) for mode in (True, False)]
    return min(ways, key=lambda made: distance(net, made, reference)), seen


SIDES = {name: plain if name == "plain" else preset(name) for name in SHARES}


def references(net: Lenet) -> tuple[np.ndarray, np.ndarray]:
    """Features of the 10,000 test images, and of as many of them as there are samples."""
    data = mz.load_images("fashion-mnist")
    features, _ = look(net, data.held_out.gather(range(len(data.held_out))))
    return features, features[np.linspace(0, len(features) - 1, SAMPLES).astype(int)]


def judged(net: Lenet, made: np.ndarray) -> dict[str, float]:
    """Distance, modes, coverage, recall and precision of samples."""
    reference, some = references(net)
    features, classes = look(net, made)
    shares = np.bincount(classes, minlength=MODES) / len(made)
    found = prdc(some, features)
    return {
        "fd": distance(net, made, reference),
        "modes": int((shares >= LEAST).sum()),
        "rarest": float(shares.min()),
        "coverage": found.coverage,
        "recall": found.recall,
        "precision": found.precision,
    }


def budget_of(options: argparse.Namespace, side: str) -> str:
    """What a side is given of the budget, in seconds."""
    return f"{SHARES[side] * parse_seconds(options.budget):g}s"


def measure(options: argparse.Namespace, side: str, seed: int) -> None:
    """Train a side, judge it, keep the row."""
    folder = options.keep / f"{side}-{seed}"
    given = length(options, side, budget_of(options, side))
    made, seen = SIDES[side](given, seed, folder)
    row = {"side": side, "seed": seed, "images": seen, **judged(judge(), made)}
    mz.images.save_image(options.keep / f"{side}-{seed}.png", mz.images.grid(made[:100]))
    keep_row(options, "g1", row)


COLUMNS = ("fd", "modes", "rarest", "coverage", "recall", "precision")
FORMATS = (".2f", "d", ".1%", ".3f", ".3f", ".3f")


def table(options: argparse.Namespace) -> None:
    """Write the section of the rows kept so far."""
    net, data = judge(), mz.load_images("fashion-mnist")
    real = judged(net, data.train.gather(np.arange(0, 60_000, 60_000 // SAMPLES)))
    rows = [{"side": f"{SAMPLES:,} training images", "seed": "", "images": "", **real}]
    rows += sorted(kept_rows(options, "g1"), key=lambda row: (list(SIDES).index(row["side"]),
                                                              row["seed"]))  # fmt: skip
    lines = ["| side | seed | images seen | FD[lenet] | modes | rarest | coverage | recall | "
             "precision |", "|---" * 9 + "|"]  # fmt: skip
    for row in rows:
        seen = f"{row['images']:,}" if row["images"] else ""
        cells = [row["side"], str(row["seed"]), seen]
        cells += [format(row[name], form) for name, form in zip(COLUMNS, FORMATS, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    ratio = _ratio(rows)
    head = f"{header([], options.threads, 1)} {_lengths(options)}."
    body = ["## G1: ten CPU minutes of GAN training", "", head + NOTES + ratio, "", *lines]
    write_section(options.results, "G1", "\n".join(body) + "\n")


def _ratio(rows: list[dict]) -> str:
    means = {
        side: np.mean([row["fd"] for row in rows if row["side"] == side])
        for side in ("default", "plain")
        if any(row["side"] == side for row in rows)
    }
    if len(means) < 2:
        return ""
    ratio = means["plain"] / means["default"]
    return f" FD of `plain` over FD of `default`, means of the seeds: **{ratio:.2f}**."


def _lengths(options: argparse.Namespace) -> str:
    whole = told(options, options.budget)
    return f"`default` and `plain` trained for {whole}, the other presets for half of it"


NOTES = (
    " `plain`: the reference DCGAN by the loop of PyTorch's example (plain_gan.py), batch "
    f"{BATCH}. FD[lenet]: Frechet distance of 128 features of a classifier trained on the train "
    f"split (fashion_judge.py), {SAMPLES:,} samples against the 10,000 test images. A mode is "
    f"found when at least {LEAST:.0%} of the samples are of its class; `rarest` is the smallest "
    "share. Coverage, recall and precision: k = 5, against 2,000 test images. Targets: an FD of at "
    "most half of `plain`'s, 10 of 10 modes for every seed."
)


def main() -> None:
    """Train the sides one after the other, or do what the options say."""
    parser = arguments(__doc__, "10m")
    parser.add_argument("--sides", nargs="+", default=[s for s in SIDES if s != "classic"],
                        choices=list(SIDES))  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, help="by default two, or one of the short")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.rate:
        sides = {name: _probe(name) for name in options.sides}
        measure_rates(options, sides, lambda name: budget_of(options, name))
    elif not options.table:
        for side in options.sides:
            for seed in options.seeds or SEEDS.get(side, (0,)):
                measure(options, side, seed)
    if not options.rate:
        table(options)


def _probe(name: str) -> Callable[[Length], float]:
    def seen(given: Length) -> float:
        with tempfile.TemporaryDirectory() as home:
            return SIDES[name](given, 0, Path(home) / name)[1]

    return seen


if __name__ == "__main__":
    main()
