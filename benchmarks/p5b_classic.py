"""P5b: the classic autoencoder against the plain training loop that most people write."""

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import Pixels, fashion
from PIL import Image
from side_by_side import Benchmark, Case, Facts, Figure, Measure, Side, arguments, run, timed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import mezzotint as mz
from mezzotint.families.autoencoder import PRESETS, Autoencoder

BATCH = 128
NOTES = """
Images a second of training the `classic` preset (3x3 convolutions 1-32-64-128 at stride 2, latent
32, and its mirror) at 32 px on Fashion-MNIST, Adam at 1e-3, MSE, batch 128. Ours is the whole
`mezzotint.train(...)` with its default previews, validation, averaging, checkpoints and curve. The
peer is a loop of ten lines over the same modules and weights: a DataLoader of PIL images (as
torchvision's datasets hold them: `Image.fromarray`, resize to 32, to tensor), plain Adam,
`loss.item()` every step; with 0 workers, the default, and 2. "the same result" is the loss of the
initial weights on the same 128 images.
"""


class Pictures(Dataset[Tensor]):
    """Arrays as PIL images as float tensors (1, 32, 32) in [0, 1], image by image."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, at: int) -> Tensor:
        image = Image.fromarray(self.pixels[at])
        image = image.resize((32, 32), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(image))[None].contiguous().to(torch.float32).div(255)


def model() -> Autoencoder:
    """The classic preset with weights that depend on the seed alone."""
    torch.manual_seed(0)
    options = {name: value for name, value in PRESETS["classic"].items() if name != "lr"}
    return Autoencoder(**options)


def initial_loss() -> float:
    """MSE of the initial weights on 128 images."""
    pictures = Pictures(raw(BATCH))
    images = torch.stack([pictures[at] for at in range(BATCH)])
    network = model()
    return float(nn.functional.mse_loss(network.decoder(network.encoder(images)), images).detach())


def raw(count: int) -> Pixels:
    """Fashion-MNIST as (N, 28, 28) uint8."""
    return fashion(count).gather(range(count))[..., 0]


def ours(count: int) -> Measure:
    """mezzotint.train."""
    data, home = fashion(count, held_out=1000, size=32), Path(tempfile.mkdtemp())
    names = itertools.count()
    facts = {"initial loss": initial_loss()}

    def measure(turn: int) -> Figure:
        network, out = model(), home / str(next(names))

        def train() -> Facts:
            mz.train(network, data, out=out, images=count, batch=BATCH, lr=1e-3)
            return facts

        figure = timed(count, train)
        shutil.rmtree(home, ignore_errors=True)
        return figure

    return measure


def plain(count: int, workers: int) -> Measure:
    """The loop everyone writes."""
    loader: Any = DataLoader(Pictures(raw(count)), BATCH, shuffle=True, num_workers=workers)
    facts = {"initial loss": initial_loss()}

    def measure(turn: int) -> Figure:
        network = model()
        return timed(count, lambda: _epoch(network, loader) or facts)

    return measure


def _epoch(network: Autoencoder, loader: DataLoader[Tensor]) -> None:
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    total = 0.0
    for images in loader:
        loss = nn.functional.mse_loss(network.decoder(network.encoder(images)), images)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += loss.item()


def main() -> None:
    """Measure P5b."""
    options = arguments(__doc__)
    count = 2_560 if options.smoke else 20_480
    peers = [
        Side(f"plain loop, {n} workers", plain, {"count": count, "workers": n}) for n in (0, 2)
    ]
    case = Case(
        f"classic, {count:,} images",
        "images/s",
        Side("mezzotint", ours, {"count": count}),
        peers,
        {peer.name: 1.5 for peer in peers},
        {"initial loss": (0.0, 1e-3)},
    )
    run(Benchmark("P5b", "classic autoencoder, images a second", NOTES), [case], options)


if __name__ == "__main__":
    main()
