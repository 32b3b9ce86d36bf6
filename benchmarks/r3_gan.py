"""R3: thirty minutes of GAN on emoji, 64 px in colour; StudioGAN's order of steps beside it.

`default` and `r3gan` are one `train` command each, `r3gan` with the networks and the constant
penalty that larger images had before they got options of their own. The pictures are those of the
npm package `emoji-datasource-google`, unpacked (see t2_emoji.py). See lengths.py for how to run it
in pieces; our sides go on where they stopped.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from lengths import Length, arguments, keep_row, kept_rows, length, measure_rates, told
from results import header, write_section
from studio_gan import steps
from t2_emoji import captioned
from torch import Tensor

import mezzotint as mz
from mezzotint.families.gan import GAN
from mezzotint.features.extractor import extract
from mezzotint.features.table import open_extractor
from mezzotint.images import grid, save_image, to_uint8
from mezzotint.metrics.detail import Contrast, detail
from mezzotint.metrics.distances import frechet
from mezzotint.metrics.neighbours import prdc
from mezzotint.progress import Silent
from mezzotint.training.feeding import normalise

FEATURES, SHOWN = "effnet-lite0", 96
STUDIO_BATCH, STUDIO = 64, {"lr": 2e-4, "betas": (0.5, 0.999)}
Made = tuple[np.ndarray, int]


def emoji(package: Path) -> mz.Images:
    """The emoji on white, without their names."""
    with tempfile.TemporaryDirectory() as home:
        path = captioned(package, Path(home) / "emoji.npz")
        pixels = np.load(path)["images"]
    return mz.load_images(pixels)


def preset(name: str) -> Callable[[mz.Images, Length, Path, int], Made]:
    """One `train` command."""

    def make(data: mz.Images, given: Length, folder: Path, count: int) -> Made:
        run = mz.train("gan", data, out=folder, preset=name, **given)
        return to_uint8(run.model.sample(range(count))), run.history[-1]["images"]

    return make


def studio(data: mz.Images, given: Length, folder: Path, count: int) -> Made:
    """StudioGAN's order with SNDCGAN's networks, loss and optimiser (1802.05957)."""
    torch.manual_seed(0)
    options = {"network": "dcgan", "norm": "batch", "spectral": True, "latent": 128}
    model = GAN(size=data.size, channels=3, objective="hinge", penalty="none", **options)
    average = copy.deepcopy(model.generator)
    critic = model.critic.network
    going = steps(
        model.generator, critic, batches(data), model.objective, 128, STUDIO, average=average
    )
    seen, end = 0, time.perf_counter() + float(given.get("budget") or 0)
    while seen < given["images"] if "images" in given else time.perf_counter() < end:
        next(going)
        seen += STUDIO_BATCH
    with torch.no_grad():
        z = torch.randn(count, 128, generator=torch.Generator().manual_seed(0))
        made = [average(part, None) for part in z.split(STUDIO_BATCH)]
    return to_uint8(torch.cat(made).clamp(-1, 1)), seen


def batches(data: mz.Images) -> Iterator[Tensor]:
    """Shuffled batches in memory, without end."""
    pixels = torch.from_numpy(data.train.gather(range(len(data.train))))
    while True:
        for rows in torch.randperm(len(pixels)).split(STUDIO_BATCH):
            if len(rows) == STUDIO_BATCH:
                yield normalise(pixels[rows]).contiguous()


SIDES = {"default": preset("default"), "r3gan": preset("r3gan"), "studio": studio}


class Judge:
    """Compares samples with the held-out emoji."""

    def __init__(self, data: mz.Images) -> None:
        self.held_out = data.held_out.gather(range(len(data.held_out)))
        self.extractor = open_extractor(FEATURES, data, Silent())
        self.real = extract(self.extractor, self.held_out, Silent())
        rows = np.linspace(0, len(data.train) - 1, len(self.held_out)).astype(int)
        self.others = data.train.gather(rows)

    def judged(self, made: np.ndarray) -> dict[str, float]:
        """Numbers of as many samples as there are held-out emoji."""
        found = extract(self.extractor, made, Silent())
        fine: dict[str, Contrast] = detail(made, self.held_out)
        octave = fine["finest"].ratio
        return {
            "fd": frechet(self.real, found),
            "coverage": prdc(self.real, found).coverage,
            "octave": octave.value,
            "low": octave.low,
            "high": octave.high,
            "kurtosis": fine["kurtosis"].made.value,
            "quiet": fine["quiet"].made.value,
        }


def measure(options: argparse.Namespace, side: str) -> None:
    """Train a side, judge it, keep the row and a picture."""
    data = emoji(options.package)
    judge, folder = Judge(data), options.keep / side
    made, seen = SIDES[side](data, length(options, side), folder, len(judge.held_out))
    save_image(options.keep / f"{side}.png", grid(made[:SHOWN], columns=16))
    keep_row(options, "r3", {"side": side, "images": seen, **judge.judged(made)})


def table(options: argparse.Namespace) -> None:
    """Write the section of the rows kept so far."""
    judge = Judge(emoji(options.package))
    floor = judge.judged(judge.others)
    rows = [{"side": "training emoji", "images": 0, **floor}]
    rows += sorted(kept_rows(options, "r3"), key=lambda row: list(SIDES).index(row["side"]))
    lines = [
        f"| side | images seen | FD[{FEATURES}] | over the floor | coverage | finest octave | "
        "kurtosis | quiet places |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        octave = f"{row['octave']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        seen = f"{row['images']:,}" if row["images"] else ""
        cells = [row["side"], seen, f"{row['fd']:.0f}", f"{row['fd'] / floor['fd']:.2f}"]
        cells += [f"{row['coverage']:.3f}", octave, f"{row['kurtosis']:.1f}"]
        lines.append("| " + " | ".join([*cells, f"{row['quiet']:.1f}"]) + " |")
    head = f"{header([], options.threads, 1)} {told(options, options.budget)}."
    count = len(judge.held_out)
    notes = (
        f" Emoji of `emoji-datasource-google` at 64 px on white, {count} of them held out by "
        f"content; {count} samples against those. The floor is the FD of as many training emoji. "
        "Finest octave: its energy over that of the held-out emoji. `default`: `mezzotint train "
        "gan EMOJI`; `r3gan`: the preset; `studio`: StudioGAN's order of steps (studio_gan.py) "
        "with SNDCGAN's networks, hinge loss and Adam at 2e-4, batch 64, average of weights. "
        "Targets: finest octave from 0.5 to 2, FD at most twice R1's, ahead of the peer by 1.5."
    )
    body = ["## R3: GAN in colour", "", head + notes, "", *lines]
    write_section(options.results, "R3", "\n".join(body) + "\n")


def main() -> None:
    """Train the sides one after the other, or do what the options say."""
    parser = arguments(__doc__, "30m")
    parser.add_argument("package", type=Path, help="the unpacked package")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.rate:
        sides = {name: _probe(name, options) for name in options.sides}
        measure_rates(options, sides, lambda name: options.budget)
    elif not options.table:
        for side in options.sides:
            measure(options, side)
    if not options.rate:
        table(options)


def _probe(name: str, options: argparse.Namespace) -> Callable[[Length], float]:
    def seen(given: Length) -> float:
        with tempfile.TemporaryDirectory() as home:
            return SIDES[name](emoji(options.package), given, Path(home) / name, 8)[1]

    return seen


if __name__ == "__main__":
    main()
