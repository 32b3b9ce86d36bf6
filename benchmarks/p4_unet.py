"""P4: training our U-Net against lucidrains' at equal size and FLOPs, each in its own loop."""

import itertools
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from pictures import fashion, grey_folder
from pil_loader import pil_loader
from side_by_side import Benchmark, Case, Facts, Figure, Measure, Side, arguments, run, timed
from torch.utils.flop_counter import FlopCounterMode

import mezzotint as mz

OURS: dict[str, Any] = {
    "size": 32, "channels": 1, "patch": 1, "widths": (32, 64, 128), "blocks": 4,
    "process": "linear", "prediction": "eps", "clip": "static",
}  # fmt: skip
THEIRS: dict[str, Any] = {"dim": 32, "dim_mults": (1, 2, 4), "channels": 1}
NOTES = """
Images a second of training on Fashion-MNIST at 32 px, epsilon prediction, uniform t of 1000, Adam,
clipping at 1. Ours is the whole `mezzotint.train(...)` with validation on 32 images, averaging,
checkpoints and history. The peer is `denoising_diffusion_pytorch.Unet` in the loop of its Trainer:
PIL files through a DataLoader with the two workers its Trainer would take here, Adam (0.9, 0.99),
`loss.item()` every step, `ema_pytorch.EMA` every ten steps, nothing sampled or saved. `parameters`
and `MFLOP` (forward pass of one image, counted by torch's FlopCounterMode) must agree within 5%.
"""


def lucidrains() -> Any:
    """The peer's package; it imports torchvision only for loading and saving files."""
    vision = {name: ModuleType(name) for name in ("torchvision", "torchvision.transforms")}
    vision["torchvision"].transforms = vision["torchvision.transforms"]  # type: ignore[attr-defined]
    vision["torchvision"].utils = ModuleType("torchvision.utils")  # type: ignore[attr-defined]
    for name, module in vision.items():
        sys.modules.setdefault(name, module)
    import denoising_diffusion_pytorch.denoising_diffusion_pytorch as package

    return package


def size_of(network: torch.nn.Module) -> Facts:
    """Parameters and forward MFLOPs of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 32, 32), torch.zeros(1))
    parameters = sum(p.numel() for p in network.parameters())
    return {"parameters": float(parameters), "MFLOP": counter.get_total_flops() / 1e6}


def ours(count: int, batch: int) -> Measure:
    """mezzotint.train with our U-Net."""
    data, home = fashion(count, held_out=32, size=32), Path(tempfile.mkdtemp())
    names, facts = itertools.count(), size_of(mz.Diffusion(**OURS).network)
    options = {"optimizer": "adam", "lr": 1e-4, "max_grad_norm": 1.0}

    def measure(turn: int) -> Figure:
        out = home / str(next(names))

        def train() -> Facts:
            model = mz.Diffusion(**OURS)
            mz.train(model, data, out=out, images=count, batch=batch, previews=0, **options)
            return facts

        figure = timed(count, train)
        shutil.rmtree(out, ignore_errors=True)
        return figure

    return measure


def theirs(count: int, batch: int, flash: bool) -> Measure:
    """The loop of lucidrains' Trainer."""
    package = lucidrains()
    folder = grey_folder(Path(tempfile.mkdtemp()) / "images", count)
    loader = pil_loader(folder, "L", 32, batch, workers=2)
    facts = size_of(package.Unet(**THEIRS))

    def epoch() -> Facts:
        network = package.Unet(**THEIRS, flash_attn=flash)
        model = package.GaussianDiffusion(network, image_size=32, auto_normalize=False)
        average = package.EMA(model, beta=0.995, update_every=10)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99))
        for images in loader:
            loss = model(images)
            loss.item()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            average.update()
        return facts

    return lambda turn: timed(count, epoch)


def main() -> None:
    """Measure P4."""
    options = arguments(__doc__)
    cases = []
    for batch in (16, 64):
        count = 4 * batch if options.smoke else 768
        sizes = {"count": count, "batch": batch}
        peers = [
            Side("lucidrains' Trainer", theirs, {**sizes, "flash": False}),
            Side("lucidrains' Trainer, flash_attn", theirs, {**sizes, "flash": True}),
        ]
        cases.append(
            Case(
                f"batch {batch}, {count:,} images",
                "images/s",
                Side("mezzotint", ours, sizes),
                peers,
                {peer.name: 2.0 for peer in peers},
                {"parameters": (0.0, 0.05), "MFLOP": (0.0, 0.05)},
            )
        )
    packages = ["denoising-diffusion-pytorch", "ema-pytorch", "einops"]
    run(
        Benchmark("P4", "our U-Net and lucidrains', equal size and FLOPs", NOTES, packages),
        cases,
        options,
    )


if __name__ == "__main__":
    main()
