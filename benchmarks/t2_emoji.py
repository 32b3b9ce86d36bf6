"""T2: emoji with their names, 64 px: the autoencoder, and pictures that never were.

The pictures are those of the npm package `emoji-datasource-google`, unpacked: `npm pack
emoji-datasource-google` and `tar xf`; the folder has `emoji.json` and `img/google/64`.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from results import RESULTS, header, write_section

import mezzotint as mz

PROMPTS = [
    "grinning face with heart-shaped eyes, a smiley",
    "a black cat",
    "a red apple",
    "a blue heart",
    "a green car",
    "flag of a country",
    "a slice of pizza",
    "a yellow flower",
]
NOTES = """
One `mezzotint train text-to-image` command at 64 px on the emoji of `emoji-datasource-google` with
their names as captions; a tenth held out by content. PSNR and rFD (EfficientNet-Lite0) of the
autoencoder on held-out emoji; FD of samples for captions of the training side. Target: 24 dB.
"""


def captioned(package: Path, out: Path) -> Path:
    """The emoji on white and their names, as an ``.npz``."""
    rows = json.loads((package / "emoji.json").read_text())
    pixels, captions = [], []
    for row in rows:
        path = package / "img" / "google" / "64" / row["image"]
        if path.is_file():
            picture = Image.open(path).convert("RGBA")
            ground = Image.new("RGBA", picture.size, "white")
            pixels.append(np.asarray(Image.alpha_composite(ground, picture).convert("RGB")))
            captions.append(caption(row))
    np.savez(out, images=np.stack(pixels), captions=captions)
    return out


def caption(row: dict[str, Any]) -> str:
    """Its name in small letters, and what kind of thing it is."""
    name = str(row.get("name") or row["short_name"]).lower().replace("_", " ")
    return f"{name}, {row.get('subcategory', row.get('category', '')).replace('-', ' ')}"


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
        mz.sample(run.model, 36, out=folder / "samples.png")
        asked = [text for text in PROMPTS for _ in range(6)]
        mz.sample(run.model, len(asked), prompt=asked, out=folder / "prompts.png")
    rows = [f"| {name} | {value.value:.4g} | {value.unit} |" for name, value in found.items()]
    table = ["| number | value | unit |", "|---|---|---|", *rows]
    title = f"## T2: {len(data):,} emoji with their names\n\n"
    told = header(["diffusers", "transformers"], options.threads, 1)
    text = f"{title}{told} Budget {options.budget}.\n{NOTES}\n" + "\n".join(table) + "\n"
    print(text)
    if not options.dry:
        write_section(RESULTS, "T2", text)


if __name__ == "__main__":
    main()
