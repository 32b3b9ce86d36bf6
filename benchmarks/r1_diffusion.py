"""R1, R2, R5: diffusion of real pictures, without a flag: emoji, stamps, squares of photographs.

    python benchmarks/r1_diffusion.py R1 PLACE --keep r1

R1 takes the unpacked npm package `emoji-datasource-google`, R2 the folder of Debian's
`tuxpaint-stamps-default`, R5 that of `plasma-workspace-wallpapers`. See lengths.py for how to run
the sides in pieces; each goes on where it stopped.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lengths import Length, arguments, keep_row, kept_rows, length, measure_rates, told
from PIL import Image
from results import header, write_section
from t2_emoji import named

import mezzotint as mz
from mezzotint.alpha import over
from mezzotint.features.extractor import Extractor, extract
from mezzotint.features.table import open_extractor
from mezzotint.images import grid, save_image, to_uint8
from mezzotint.metrics.detail import detail
from mezzotint.metrics.distances import frechet
from mezzotint.metrics.neighbours import prdc
from mezzotint.progress import Silent

FEATURES, SHOWN, MOST = "effnet-lite0", 64, 400
SQUARES, SIDE = 24, 256


def emoji(package: Path) -> mz.Images:
    """Emoji on white, 64 px, by category."""
    rows = json.loads((package / "emoji.json").read_text())
    pixels, labels = [], []
    for row in rows:
        for _, name in named(row):
            path = package / "img" / "google" / "64" / name
            if path.is_file():
                pixels.append(on_white(Image.open(path)))
                labels.append(row["category"])
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "emoji.npz"
        np.savez(path, images=np.stack(pixels), labels=np.array(labels))
        return mz.load_images(path)


def on_white(picture: Image.Image) -> np.ndarray:
    """A picture with what shows through laid on white."""
    rgba = picture.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(ground, rgba).convert("RGB"))


def stamps(folder: Path) -> mz.Images:
    """Things with alpha at 128 px, as they are read."""
    return mz.load_images(folder, size=128, channels=4)


def photographs(folder: Path) -> mz.Images:
    """Squares of the largest file of each wallpaper at 256 px."""
    best: dict[str, Path] = {}
    for path in sorted(folder.glob("*/contents/images/*")):
        name = path.parts[-4]
        if name not in best or pixels_of(path) > pixels_of(best[name]):
            best[name] = path
    rng, squares = np.random.default_rng(0), []
    for path in best.values():
        picture = Image.open(path).convert("RGB")
        for _ in range(SQUARES):
            side = int(min(picture.size) * rng.uniform(0.2, 1.0))
            left, top = (int(rng.integers(0, whole - side + 1)) for whole in picture.size)
            box = (left, top, left + side, top + side)
            squares.append(np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box)))
    return mz.load_images(np.stack(squares))


def pixels_of(path: Path) -> int:
    """Pixels of a picture file."""
    width, height = Image.open(path).size
    return width * height


class Row(NamedTuple):
    """A row of the results: its pictures, its budget, its sides and what they are to reach."""

    data: Callable[[Path], mz.Images]
    budget: str
    sides: Mapping[str, Mapping[str, Any]]
    target: str


ROWS = {
    "R1": Row(
        emoji,
        "10m",
        {"default": {}, "prediction=clean": {"prediction": "clean"}},
        "finest octave 0.7 to 1.3, FD at most 2.5 floors, coverage 0.3, FD at most 0.6 of "
        "`prediction=clean`",
    ),
    "R2": Row(stamps, "30m", {"default": {}}, "finest octave 0.5 to 1.6, FD at most 6 floors"),
    "R5": Row(
        photographs,
        "60m",
        {"default": {}},
        "autoencoder 2 dB above patch PCA, finest octave 0.5 to 1.6, 64 pictures in 60 s",
    ),
}


class Heard:
    """Progress that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, *_: Any) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Keep and print it."""
        self.lines.append(text)
        print(text, flush=True)


def judged(made: np.ndarray, data: mz.Images) -> dict[str, float]:
    """Numbers of samples against as many held-out pictures, RGBA on the ground that is worse."""
    held = data.held_out.gather(range(min(len(made), len(data.held_out))))
    grounds = [0, 255] if made.shape[-1] == 4 else [None]
    extractor = open_extractor(FEATURES, data, Silent())
    found = [one_ground(made, held, ground, extractor) for ground in grounds]
    return max(found, key=lambda one: one["fd"])


def one_ground(
    made: np.ndarray, held: np.ndarray, ground: int | None, extractor: Extractor
) -> dict[str, float]:
    """Numbers on one ground."""
    ours, real = (part if ground is None else over(part, ground) for part in (made, held))
    here, there = extract(extractor, ours, Silent()), extract(extractor, real, Silent())
    fine = detail(ours, real)
    octave = fine["finest"].ratio
    return {
        "fd": frechet(there, here),
        "coverage": prdc(there, here).coverage,
        "octave": octave.value,
        "low": octave.low,
        "high": octave.high,
        "kurtosis": fine["kurtosis"].made.value,
        "kurtosis_real": fine["kurtosis"].real.value,
    }


def train(data: mz.Images, given: Length, folder: Path, options: Mapping[str, Any]) -> mz.Run:
    """One side."""
    return mz.train("diffusion", data, folder, progress=Heard(), **{**options, **given})


def measure(options: argparse.Namespace, row: Row, side: str) -> None:
    """Train a side, judge it, keep the row and a picture."""
    data = row.data(options.place)
    folder = options.keep / side
    run = train(data, length(options, side), folder, row.sides[side])
    count = min(MOST, len(data.held_out))
    started = time.perf_counter()
    made = to_uint8(run.model.sample(range(count)))
    each = (time.perf_counter() - started) / count
    save_image(options.keep / f"{side}.png", grid(made[:SHOWN], columns=16))
    rows = np.linspace(0, len(data.train) - 1, count).astype(int)
    floor = judged(data.train.gather(rows), data)["fd"]
    seen, seconds = run.history[-1]["images"], 64 * each
    found = {"side": side, "images": seen, "n": count, "floor": floor, "seconds64": seconds}
    keep_row(options, "diffusion", {**found, **judged(made, data)})


def table(options: argparse.Namespace, row: Row) -> None:
    """Write the section of the rows kept so far."""
    lines = [
        f"| side | images seen | FD[{FEATURES}] | floor | over it | coverage | finest octave "
        "| kurtosis, real | 64 pictures |",
        "|---" * 9 + "|",
    ]
    rows = kept_rows(options, "diffusion")
    for one in rows:
        octave = f"{one['octave']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
        cells = [one["side"], f"{one['images']:,}", f"{one['fd']:.0f}", f"{one['floor']:.0f}"]
        cells += [f"{one['fd'] / one['floor']:.2f}", f"{one['coverage']:.3f}", octave]
        cells += [f"{one['kurtosis']:.1f}, {one['kurtosis_real']:.1f}", f"{one['seconds64']:.0f} s"]
        lines.append("| " + " | ".join(cells) + " |")
    head = f"{header([], options.threads, 1)} {told(options, options.budget or row.budget)}."
    notes = (
        f" {rows[0]['n']} samples against as many held-out pictures; the floor is the FD of as many"
        " training pictures. Finest octave: energy of samples over that of the held-out pictures,"
        f" with its 95% interval. `default` is one `train diffusion` command. Target: {row.target}."
    )
    title = f"## {options.row}: diffusion of real pictures"
    section = f"{title}\n\n{head}{notes}\n\n" + "\n".join(lines) + "\n"
    print(section)
    write_section(options.results, options.row, section)


def main() -> None:
    """Train the sides asked for, or write what was kept."""
    parser = arguments(__doc__, "")
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("place", type=Path)
    parser.add_argument("--sides", nargs="*")
    options = parser.parse_args()
    row = ROWS[options.row]
    options.budget = options.budget or row.budget
    sides = options.sides or list(row.sides)
    if options.table:
        table(options, row)
        return
    if options.rate:
        data, fresh = row.data(options.place), itertools.count()

        def seen(side: str) -> Callable[[Length], float]:
            place = options.keep / "rates" / f"{side}-{next(fresh)}"
            return lambda given: train(data, given, place, row.sides[side]).history[-1]["images"]

        measure_rates(options, {side: seen(side) for side in sides}, lambda side: options.budget)
        return
    options.keep.mkdir(parents=True, exist_ok=True)
    for side in sides:
        measure(options, row, side)


if __name__ == "__main__":
    main()
