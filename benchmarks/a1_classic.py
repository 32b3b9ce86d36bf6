"""A1: the reference autoencoder at 32 px on Fashion-MNIST in five minutes, against PCA.

Both see the same 60,000 training images; the error is measured on the same 10,000 held-out ones.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from results import RESULTS, header, write_section
from sklearn.decomposition import PCA

import mezzotint as mz

COMPONENTS = 32


def pca_error(data: mz.Images) -> float:
    """Held-out MSE per pixel in [0, 1] of PCA with as many components as the latent has numbers."""
    train = data.train.gather(range(len(data.train))).reshape(len(data.train), -1)
    held_out = data.held_out.gather(range(len(data.held_out))).reshape(len(data.held_out), -1)
    pca = PCA(COMPONENTS, svd_solver="covariance_eigh").fit(train.astype(np.float32) / 255)
    pixels = held_out.astype(np.float32) / 255
    rebuilt = pca.inverse_transform(pca.transform(pixels))
    return float(((rebuilt.astype(np.float64) - pixels) ** 2).mean())


def trained_error(data: mz.Images, preset: str, budget: str, folder: Path) -> tuple[float, int]:
    """Held-out MSE of a preset after the budget, and the images it saw."""
    run = mz.train("autoencoder", data, out=folder / preset, preset=preset, budget=budget)
    mse = mz.evaluate(run.model, data, limit=None)["mse"]
    return mse.value, run.history[-1]["images"]


def main() -> None:
    """Train each preset one after the other and write the section A1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--presets", nargs="+", default=["fast", "classic"])
    options = parser.parse_args()
    data = mz.load_images("fashion-mnist", size=32)
    base = pca_error(data)
    rows = [f"| PCA, {COMPONENTS} components | {base:.6f} | | |"]
    with tempfile.TemporaryDirectory() as folder:
        for preset in options.presets:
            started = time.perf_counter()
            mse, images = trained_error(data, preset, options.budget, Path(folder))
            lower = 100 * (1 - mse / base)
            rows.append(f"| `{preset}`, {images:,} images | {mse:.6f} | {lower:.1f}% | 60% |")
            print(rows[-1], f"{time.perf_counter() - started:.0f} s", flush=True)
    table = "\n".join(
        ["| model | held-out MSE | lower than PCA | target |", "|---|---|---|---|", *rows]
    )
    text = (
        "## A1 reference autoencoder against PCA\n\n"
        f"{header(['scikit-learn'], 2, 1)} Budget {options.budget} of wall clock each, latent 32, "
        "Fashion-MNIST at 32 px. `fast` is the network of `classic` trained by Muon at batch 64; "
        f"`classic` trains with Adam at 1e-3 and batch 128.\n\n{table}\n"
    )
    write_section(RESULTS, "A1", text)


if __name__ == "__main__":
    main()
