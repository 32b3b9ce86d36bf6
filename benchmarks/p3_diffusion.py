"""P3: training a diffusion model, the same UNet2DModel and loss, against diffusers' script."""

import itertools
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pictures import fashion, grey_folder
from pil_loader import pil_loader
from side_by_side import Benchmark, Case, Facts, Figure, Measure, Side, arguments, run, timed

import mezzotint as mz

OPTIONS: dict[str, Any] = {
    "size": 32, "channels": 1, "backbone": "diffusers", "widths": (32, 64, 64), "blocks": 1,
    "process": "linear", "prediction": "eps", "clip": "static",
}  # fmt: skip
NOTES = """
Images a second of training the same `UNet2DModel` (widths 32, 64, 64, one block a level, attention
at the deepest) on Fashion-MNIST at 32 px, epsilon prediction, MSE, linear betas, uniform t. Ours is
the whole `mezzotint.train(...)` with validation on 64 images, averaging, checkpoints and history
(no sample previews: the script draws none in its first epoch either), AdamW. The peer
is the loop of diffusers' examples/unconditional_image_generation/train_unconditional.py at its
defaults: a DataLoader of PIL files with 0 workers, AdamW (0.95, 0.999) with weight decay 1e-6,
gradient clipping at 1, `EMAModel` with inverse gamma 1 and power 0.75, cosine schedule,
`loss.item()` every step. Ours clips at 1 as well. "the same result" is the loss of the initial
weights on the same images, noise and times.
"""


def model() -> mz.Diffusion:
    """The network with weights that depend on the seed alone."""
    torch.manual_seed(0)
    return mz.Diffusion(**OPTIONS)


@torch.no_grad()
def initial_loss(network: Any) -> float:
    """Epsilon error of the initial weights on fixed images, noise and times, by DDPMScheduler."""
    from diffusers import DDPMScheduler

    generator = torch.Generator().manual_seed(3)
    images = torch.rand((64, 1, 32, 32), generator=generator) * 2 - 1
    noise = torch.randn(images.shape, generator=generator)
    times = torch.randint(0, 1000, (64,), generator=generator)
    noisy = DDPMScheduler().add_noise(images, noise, times)
    return float(F.mse_loss(network(noisy, times), noise))


def ours(count: int, batch: int) -> Measure:
    """mezzotint.train."""
    data, home = fashion(count, held_out=64, size=32), Path(tempfile.mkdtemp())
    names = itertools.count()
    facts = {"initial loss": initial_loss(model().network)}

    def measure(turn: int) -> Figure:
        network, out = model(), home / str(next(names))
        options = {"optimizer": "adamw", "lr": 1e-4, "weight_decay": 1e-6, "max_grad_norm": 1.0}

        def train() -> Facts:
            mz.train(network, data, out=out, images=count, batch=batch, previews=0, **options)
            return facts

        figure = timed(count, train)
        shutil.rmtree(home / out.name, ignore_errors=True)
        return figure

    return measure


def script(count: int, batch: int) -> Measure:
    """The training loop of diffusers' example."""
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    folder = grey_folder(Path(tempfile.mkdtemp()) / "images", count)
    loader = pil_loader(folder, "L", 32, batch, workers=0)
    schedule, steps = DDPMScheduler(num_train_timesteps=1000), math.ceil(count / batch)

    def epoch() -> Facts:
        network = model().network.unet
        found = {"initial loss": initial_loss(lambda x, t: network(x, t).sample)}
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        average = EMAModel(
            network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75
        )
        rate = get_scheduler("cosine", optimiser, num_warmup_steps=500, num_training_steps=steps)
        for images in loader:
            noise = torch.randn(images.shape)
            times = torch.randint(0, 1000, (len(images),)).long()
            noisy = schedule.add_noise(images, noise, times)
            loss = F.mse_loss(network(noisy, times).sample.float(), noise.float())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            rate.step()
            optimiser.zero_grad()
            average.step(network.parameters())
            loss.detach().item()
        return found

    return lambda turn: timed(count, epoch)


def main() -> None:
    """Measure P3."""
    options = arguments(__doc__)
    cases = []
    for batch in (16, 64):
        count = 4 * batch if options.smoke else 4_096
        sizes = {"count": count, "batch": batch}
        peer = Side("diffusers' script", script, sizes)
        cases.append(
            Case(
                f"batch {batch}, {count:,} images",
                "images/s",
                Side("mezzotint", ours, sizes),
                [peer],
                {peer.name: 1.5},
                {"initial loss": (0.0, 1e-3)},
            )
        )
    run(
        Benchmark("P3", "diffusion training, images a second", NOTES, ["diffusers"]), cases, options
    )


if __name__ == "__main__":
    main()
