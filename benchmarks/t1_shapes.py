"""T1: an hour from 7,200 captioned shapes to pictures of prompts never seen, read off the pixels.

One `mezzotint train text-to-image shapes --size 32` command; the budget is that of all stages. The
prompts are captions of the endless set beyond the pictures that the model has seen; held-out ones
have a pair of colour and shape that no training picture shows.
"""

import argparse
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from lengths import Length, arguments, length, measure_rates, told
from results import header, write_section

import mezzotint as mz
from mezzotint.config import parse_seconds
from mezzotint.data.scenes import Scene, is_held_out, scene
from mezzotint.data.shapes import COUNT, draw_scene
from mezzotint.evaluation.scenes import judge
from mezzotint.families.base import Family
from mezzotint.imaging.resize import fit
from mezzotint.metrics.intervals import wilson

SAMPLES = 500
SHARES = {"autoencoder": 0.2, "diffusion": 0.8}  # the defaults of the one command
GUIDANCE = (1.0, 2.0, 3.0, 5.0)
SHOWN = [
    "a red circle above a blue square",
    "a large yellow triangle",
    "a green star left of a purple cross",
    "a small blue ring at the top right",
    "an orange square, a pink star and a black ring from left to right",
]


def scenes(things: int, held_out: bool) -> Iterator[Scene]:
    """Scenes beyond the set, with so many things, of one side of the split."""
    for index in itertools.count(COUNT):
        found = scene(index)
        if len(found.figures) == things and is_held_out(index) == held_out:
            yield found


def agreement(model: Family, things: int, held_out: bool, count: int, **options: float) -> str:
    """The share of prompts whose picture shows them, with its interval, as a cell."""
    asked = list(itertools.islice(scenes(things, held_out), count))
    pictures = mz.sample(model, count, prompt=[one.caption for one in asked], **options)
    right = [judge(picture, one.facts) for picture, one in zip(pictures, asked, strict=True)]
    share = float(np.mean([verdict.things and verdict.stand for verdict in right]))
    low, high = wilson(share, count)
    return f"{100 * share:.1f}% ({100 * low:.1f} to {100 * high:.1f})"


def real(things: int, size: int, count: int) -> str:
    """What the reader says of real pictures."""
    indices = [i for i in range(COUNT, COUNT + 20 * count) if len(scene(i).figures) == things]
    right = [
        judge(fit(draw_scene(i), (size, size), "crop", (255, 255, 255)), scene(i).facts).all
        for i in indices[:count]
    ]
    return f"{100 * float(np.mean(right)):.1f}%"


def autoencoder(given: Length, size: int, out: Path) -> mz.Run:
    """The first stage as a command of its own."""
    return mz.train("kl-vae", "shapes", out, "quick", size=size, **given)


def diffusion(given: Length, size: int, base: Path, out: Path) -> mz.Run:
    """The second stage as a command of its own."""
    return mz.train("text-to-image", "shapes", out, size=size, autoencoder=str(base), **given)


def stages(options: argparse.Namespace, folder: Path) -> None:
    """Both stages: by one command, or one by one for as many images as the rates allow."""
    if not options.by_rate:
        mz.train("text-to-image", "shapes", folder, size=options.size, budget=options.budget)
        return
    parts = {name: shared(options, name) for name in SHARES}
    given = {name: length(options, name, budget) for name, budget in parts.items()}
    autoencoder(given["autoencoder"], options.size, options.keep / "autoencoder")
    diffusion(given["diffusion"], options.size, options.keep / "autoencoder", folder)


def shared(options: argparse.Namespace, stage: str) -> str:
    """What a stage is given of the budget."""
    return f"{SHARES[stage] * parse_seconds(options.budget):g}s"


def rates(options: argparse.Namespace) -> None:
    """Measure both stages; the second stands on what the first is after its probe."""
    home = Path(tempfile.mkdtemp())
    base, size = home / "autoencoder", options.size

    def first(given: Length) -> float:
        return float(autoencoder(given, size, base).history[-1]["images"])

    def second(given: Length) -> float:
        return float(diffusion(given, size, base, home / "run").history[-1]["images"])

    sides = {"autoencoder": first, "diffusion": second}
    measure_rates(options, sides, lambda name: shared(options, name))
    shutil.rmtree(home)


def asked(model: Family, options: argparse.Namespace) -> list[str]:
    """Rows of the table."""
    one, two, three = (real(things, options.size, options.samples) for things in (1, 2, 3))
    rows = [f"| real pictures | {one} | | {two} | | {three} |"]
    for guidance in GUIDANCE:
        kinds = ((1, True), (1, False), (2, True), (2, False), (3, True))
        cells = [agreement(model, *kind, options.samples, guidance=guidance) for kind in kinds]
        rows.append(f"| guidance {guidance:g} | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Train, ask, and write the section T1 and a picture."""
    parser = arguments(__doc__, "60m")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--size", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.rate:
        rates(options)
        return
    folder = options.keep / "run"
    if not options.table:
        stages(options, folder)
    model = mz.load(folder)
    rows = asked(model, options)
    prompts = [text for text in SHOWN for _ in range(8)]
    shown = mz.images.grid(mz.sample(model, len(prompts), prompt=prompts), columns=8)
    mz.images.save_image(folder / "prompts.png", shown)
    head = f"{header(['diffusers', 'transformers'], options.threads, 1)} Trained for"
    table = [
        "| pictures | one, unseen pair | one, seen | two, unseen | two, seen | three, unseen |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    title = "## T1: prompts never seen, after an hour of text to image"
    text = [title, "", f"{head} {told(options, options.budget)}.{NOTES}", "", *table, ""]
    write_section(options.results, "T1", "\n".join(text))


NOTES = (
    f" Share of {SAMPLES} prompts a cell whose picture shows exactly the shapes that are asked for"
    " in their colours, and where they are said to stand; 95% intervals. Unseen: a pair of colour"
    " and shape that no training picture shows. Targets: 90% of one, 60% of two."
)

if __name__ == "__main__":
    main()
