"""T2: emoji with their names, 64 px: the autoencoder, and pictures that never were.

The pictures are those of the npm package `emoji-datasource-google`, unpacked: `npm pack
emoji-datasource-google` and `tar xf`; the folder has `emoji.json` and `img/google/64`.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from results import RESULTS, header, write_section

import mezzotint as mz
from mezzotint.evaluation.values import Value
from mezzotint.images import grid, save_image, to_uint8

PROMPTS = [
    "smiling face with heart-shaped eyes, face affection",
    "sunflower, plant flower",
    "purple heart, heart",
    "waving hand sign, medium dark skin, hand fingers open",
    "italy flag, country flag",
    "slice of pizza, food prepared",
    "red car, transport ground",
    "blue apple, food fruit",
]
TONES = {
    "1F3FB": "light skin",
    "1F3FC": "medium light skin",
    "1F3FD": "medium skin",
    "1F3FE": "medium dark skin",
    "1F3FF": "dark skin",
}
NOTES = """
One `mezzotint train text-to-image` command at 64 px on the emoji of `emoji-datasource-google` with
their names, tones and kinds as captions; a tenth held out by content. PSNR, SSIM and rFD of the
autoencoder are of held-out emoji; samples are for captions of held-out emoji. Target: 24 dB.
`docs/pictures/emoji-prompts.png` has six pictures for each of eight prompts, guidance {guidance};
the last two, a red car and a blue apple, are captions of nothing there is;
`docs/pictures/emoji.png` has the seeds 0 to 23, each with a caption of the training side.
"""
GUIDANCE, EACH = 3.0, 6


def captioned(package: Path, out: Path) -> Path:
    """The emoji on white and their names, as an ``.npz``."""
    rows = json.loads((package / "emoji.json").read_text())
    pixels, captions = [], []
    for caption, name in itertools.chain.from_iterable(map(named, rows)):
        path = package / "img" / "google" / "64" / name
        if path.is_file():
            picture = Image.open(path).convert("RGBA")
            ground = Image.new("RGBA", picture.size, "white")
            pixels.append(np.asarray(Image.alpha_composite(ground, picture).convert("RGB")))
            captions.append(caption)
    np.savez(out, images=np.stack(pixels), captions=captions)
    return out


def named(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Caption and file of an emoji and of its skin tones: name, tone, what kind of thing it is."""
    name = str(row.get("name") or row["short_name"]).lower().replace("_", " ")
    kind = row.get("subcategory", row.get("category", "")).replace("-", " ")
    yield f"{name}, {kind}", row["image"]
    for key, other in row.get("skin_variations", {}).items():
        tones = " and ".join(TONES[one] for one in key.split("-"))
        yield f"{name}, {tones}, {kind}", other["image"]


def main() -> None:
    """Train, measure, draw, and write the section T2."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="the unpacked package")
    parser.add_argument("--budget", default="60m")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="keep the run here")
    parser.add_argument("--dry", action="store_true", help="do not write the section")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        data = mz.load_images(captioned(options.package, Path(temporary) / "emoji.npz"))
        folder = options.keep or Path(temporary) / "run"
        run = mz.train("text-to-image", data, folder, budget=options.budget)
        found = mz.evaluate(run.model, data, features="effnet-lite0")
        drawn = run.model.sample(range(2 * 2 * EACH))
        save_image(folder / "samples.png", grid(to_uint8(drawn), columns=2 * EACH))
        asked = [text for text in PROMPTS for _ in range(EACH)]
        made = run.model.sample(range(len(asked)), prompt=asked, guidance=GUIDANCE)
        save_image(folder / "prompts.png", grid(to_uint8(made), columns=2 * EACH))
    title = f"## T2: {len(data):,} emoji with their names\n\n"
    told = header(["diffusers", "transformers"], options.threads, 1)
    notes = NOTES.format(guidance=GUIDANCE)
    text = f"{title}{told} Budget {options.budget}.\n{notes}\n" + "\n".join(table(found)) + "\n"
    print(text)
    if not options.dry:
        write_section(RESULTS, "T2", text)


def table(found: Mapping[str, Value]) -> list[str]:
    """A row a number, with its interval and what real pictures get."""
    lines = ["| number | value | interval | real pictures | unit | |", "|---" * 6 + "|"]
    for name, one in found.items():
        interval = "" if one.low is None else f"{one.low:.4g} to {one.high:.4g}"
        floor = "" if one.floor is None else f"{one.floor:.4g}"
        cells = [name, f"{one.value:.4g}", interval, floor, one.unit, one.note]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
