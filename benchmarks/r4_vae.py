"""R4: five minutes of autoencoder and VAE on tuxpaint's stamps, 128 px in colour on white.

Beside them principal components of as many numbers, and pythae's convolutional VAE. The stamps are
those of Debian's `tuxpaint-stamps-default`. See lengths.py for how to run it in pieces.
"""

import argparse
import io
import logging
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lengths import Length, arguments, keep_row, kept_rows, length, measure_rates, told
from results import header, write_section
from torch import Tensor

import mezzotint as mz
from mezzotint.images import grid, save_image, to_float, to_uint8

STAMPS, SIZE, NUMBERS, SAMPLES = Path("/usr/share/tuxpaint/stamps"), 128, 256, 256
PEER_SIZE, PEER_BATCH = 64, 32
Pixels = np.ndarray
Rebuild = Callable[[Pixels], Pixels]


def stamps(folder: Path) -> mz.Images:
    """The stamps as RGB on white."""
    return mz.load_images(folder, size=SIZE, channels=3)


def all_of(data: mz.Images) -> Pixels:
    """Every picture of a set."""
    return data.gather(range(len(data)))


def ours(family: str) -> Callable[[mz.Images, Length, Path], dict[str, Any]]:
    """A default run."""

    def make(data: mz.Images, given: Length, folder: Path) -> dict[str, Any]:
        run = mz.train(family, data, out=folder, **given)
        model = run.model
        numbers = int(np.prod(model.embed(to_float(all_of(data.held_out)[:1])).shape))
        drawn = to_uint8(model.sample(range(SAMPLES))) if hasattr(model, "sample") else None
        made = to_uint8(model.reconstruct(to_float(all_of(data.held_out))))
        return {"made": made, "drawn": drawn, "images": run.history[-1]["images"]} | {
            "numbers": numbers
        }

    return make


def principal(data: mz.Images, given: Length, folder: Path) -> dict[str, Any]:
    """Principal components of the training pictures: the eigenvectors of their Gram matrix."""
    train = all_of(data.train).reshape(len(data.train), -1).astype(np.float32) / 255
    rows = all_of(data.held_out).reshape(len(data.held_out), -1).astype(np.float32) / 255
    mean = train.mean(0)
    values, vectors = np.linalg.eigh((train - mean) @ (train - mean).T)
    top = np.argsort(-values)[:NUMBERS]
    axes = (train - mean).T @ vectors[:, top] / np.sqrt(values[top])
    rebuilt = (mean + (rows - mean) @ axes @ axes.T).clip(0, 1)
    made = (rebuilt * 255).round().astype(np.uint8).reshape(-1, SIZE, SIZE, 3)
    drawn = (
        mean
        + np.random.default_rng(0).normal(size=(SAMPLES, NUMBERS))
        * np.sqrt(values[top] / len(train))
        @ axes.T
    )
    samples = (drawn.clip(0, 1) * 255).round().astype(np.uint8).reshape(-1, SIZE, SIZE, 3)
    return {"made": made, "drawn": samples, "images": 0, "numbers": NUMBERS}


def peer(data: mz.Images, given: Length, folder: Path) -> dict[str, Any]:
    """pythae's VAE with its networks for CelebA, which are made for 64 px.

    It sees the stamps averaged to 64 px; what it makes is enlarged.
    """
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.nn.benchmarks.celeba import Decoder_Conv_AE_CELEBA, Encoder_Conv_VAE_CELEBA
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    quiet("pythae")
    torch.manual_seed(0)
    config = VAEConfig((3, PEER_SIZE, PEER_SIZE), NUMBERS)
    model = VAE(config, Encoder_Conv_VAE_CELEBA(config), Decoder_Conv_AE_CELEBA(config))
    images = smaller(all_of(data.train))
    seen, limit = 0, given.get("images") or 0
    settings = {"per_device_train_batch_size": PEER_BATCH, "learning_rate": 1e-3}
    trainer = BaseTrainer(
        model,
        BaseDataset(images, torch.ones(len(images))),
        training_config=BaseTrainerConfig(str(folder), num_epochs=10_000, **settings),
    )
    trainer.prepare_training()
    stop = Clock(float(given.get("budget") or 0))
    while seen < limit or (not limit and not stop()):
        trainer.train_step(seen // len(images) + 1)
        seen += len(images)
    model.eval()
    with torch.inference_mode():
        held_out = smaller(all_of(data.held_out))
        mean = model.encoder(held_out).embedding
        made = larger(model.decoder(mean).reconstruction)
        drawn = larger(model.decoder(torch.randn(SAMPLES, NUMBERS)).reconstruction)
    return {"made": made, "drawn": drawn, "images": seen, "numbers": NUMBERS}


class Clock:
    """Says when a budget of seconds is spent."""

    def __init__(self, seconds: float) -> None:
        import time

        self.now, self.end = time.perf_counter, time.perf_counter() + seconds

    def __call__(self) -> bool:
        return self.now() >= self.end


def quiet(package: str) -> None:
    """No progress bars, no log."""
    for name in [package, *logging.root.manager.loggerDict]:
        if name.startswith(package):
            logging.getLogger(name).setLevel(logging.ERROR)
    sys.stderr = io.StringIO()


def smaller(pixels: Pixels) -> Tensor:
    """uint8 (N, H, W, 3) -> (N, 3, 64, 64) in [0, 1]."""
    return F.avg_pool2d((to_float(pixels) + 1) / 2, SIZE // PEER_SIZE)


def larger(images: Tensor) -> Pixels:
    """(N, 3, 64, 64) in [0, 1] -> uint8 (N, 128, 128, 3)."""
    return to_uint8(F.interpolate(images, size=SIZE, mode="bicubic").clamp(0, 1) * 2 - 1)


SIDES = {"autoencoder": ours("autoencoder"), "vae": ours("vae"), "pca": principal, "pythae": peer}


def decibels(made: Pixels, real: Pixels) -> np.ndarray:
    """PSNR of each picture."""
    errors = np.square((made.astype(np.float64) - real) / 255).reshape(len(real), -1).mean(1)
    return -10 * np.log10(np.maximum(errors, 1e-10))


def saturation(pixels: Pixels) -> float:
    """Mean chroma: the largest minus the smallest of a pixel's three colours, in [0, 1]."""
    return float((pixels.max(-1).astype(np.float64) - pixels.min(-1)).mean() / 255)


def judged(found: Mapping[str, Any], data: mz.Images) -> dict[str, float]:
    """Numbers of a side."""
    real = all_of(data.held_out)
    each = decibels(found["made"], real)
    drawn = found["drawn"]
    return {
        "psnr": float(each.mean()),
        "error": float(1.96 * each.std() / len(each) ** 0.5),
        "numbers": found["numbers"],
        "rebuilt": saturation(found["made"]) / saturation(real),
        "drawn": saturation(drawn) / saturation(all_of(data.train)) if drawn is not None else 0.0,
    }


def measure(options: argparse.Namespace, side: str) -> None:
    """Train a side, judge it, keep the row and its pictures."""
    data = stamps(options.stamps)
    given = {} if side == "pca" else length(options, side)
    found = SIDES[side](data, given, options.keep / side)
    keep_row(options, "r4", {"side": side, "images": found["images"], **judged(found, data)})
    real = all_of(data.held_out)[:16]
    pairs = np.stack([real, found["made"][:16]], 1).reshape(-1, SIZE, SIZE, 3)
    save_image(options.keep / f"{side}-rebuilt.png", grid(pairs, columns=8))
    if found["drawn"] is not None:
        save_image(options.keep / f"{side}-drawn.png", grid(found["drawn"][:32], columns=8))


NOTES = (
    " 802 stamps of `tuxpaint-stamps-default` at 128 px on white, a tenth of them held out by "
    "content. PSNR: mean over the held-out stamps, of their reconstructions. Saturation: mean of a "
    "pixel's largest colour minus its smallest, of the reconstructions over that of the held-out "
    "stamps, of 256 samples over that of the training stamps. `pca`: of the training stamps' "
    "pixels. `pythae`: its VAE with its networks for CelebA, made for 64 px, Adam at 1e-3, batch "
    f"{PEER_BATCH}; it sees stamps averaged to 64 px, what it makes is enlarged. Targets: 2 dB "
    "above `pca`, saturation within 10%, ahead of pythae."
)


def table(options: argparse.Namespace) -> None:
    """Write the section of the rows kept so far."""
    rows = sorted(kept_rows(options, "r4"), key=lambda row: list(SIDES).index(row["side"]))
    lines = [
        "| side | numbers | images seen | PSNR, dB | above PCA | saturation, rebuilt | samples |",
        "|---" * 7 + "|",
    ]
    base = next((row["psnr"] for row in rows if row["side"] == "pca"), None)
    for row in rows:
        above = "" if base is None or row["side"] == "pca" else f"{row['psnr'] - base:+.2f}"
        seen = f"{row['images']:,}" if row["images"] else ""
        cells = [row["side"], str(row["numbers"]), seen, f"{row['psnr']:.2f} ± {row['error']:.2f}"]
        cells += [above, f"{row['rebuilt']:.3f}", f"{row['drawn']:.3f}" if row["drawn"] else ""]
        lines.append("| " + " | ".join(cells) + " |")
    head = f"{header(['pythae'], options.threads, 1)} {told(options, options.budget)}."
    body = ["## R4: autoencoder and VAE in colour", "", head + NOTES, "", *lines]
    write_section(options.results, "R4", "\n".join(body) + "\n")


def main() -> None:
    """Train the sides one after the other, or do what the options say."""
    parser = arguments(__doc__, "5m")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--stamps", type=Path, default=STAMPS, help="the folder of the stamps")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.rate:
        sides = {name: _probe(name, options) for name in options.sides if name != "pca"}
        measure_rates(options, sides, lambda name: options.budget)
    elif not options.table:
        for side in options.sides:
            measure(options, side)
    if not options.rate:
        table(options)


def _probe(name: str, options: argparse.Namespace) -> Callable[[Length], float]:
    def seen(given: Length) -> float:
        with tempfile.TemporaryDirectory() as home:
            return SIDES[name](stamps(options.stamps), given, Path(home) / name)["images"]

    return seen


if __name__ == "__main__":
    main()
