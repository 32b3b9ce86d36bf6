"""P3 on a GPU: training a diffusion model in bf16 against diffusers' script; model FLOPs used.

Needs a CUDA device. Throughput: the same UNet2DModel, loss and optimiser, steps only (no previews,
no checkpoints), both sides in one process, taking turns. MFU: our own U-Net, forward FLOPs counted
by torch's FlopCounterMode, three times that a step, over what a bf16 matrix product of this very
machine reaches in the same run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from p3_diffusion import OPTIONS
from pictures import fashion, grey_folder
from pil_loader import pil_loader
from results import RESULTS, header, write_section
from torch.utils.flop_counter import FlopCounterMode

import mezzotint as mz
from mezzotint.training.feeding import Feed
from mezzotint.training.loop import Trainer
from mezzotint.training.recipe import Recipe

ROUNDS, IMAGES = 3, 8_192
DATASHEET = 989e12  # dense bf16 FLOP/s of an H100 SXM
TARGETS = "Targets: at least 3 times diffusers' script in bf16; MFU at least 35% at 128 channels."
Stepper = Callable[[int], None]


def trainer(model: mz.Diffusion, batch: int, **options: object) -> Stepper:
    """Our loop: a function that takes so many steps."""
    data = fashion(IMAGES, held_out=256, size=32)
    recipe = Recipe(images=10**9, batch=batch, optimizer="adamw", max_grad_norm=1.0, **options)
    loop = Trainer(model, Feed(data.train, batch), recipe)
    records = loop.records()

    def take(steps: int) -> None:
        for _ in islice(records, steps):
            pass

    return take


def script(widths: tuple[int, ...], batch: int, workers: int, home: Path) -> Stepper:
    """The loop of diffusers' train_unconditional.py with mixed_precision="bf16"."""
    from accelerate import Accelerator
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    accelerator = Accelerator(mixed_precision="bf16")
    model = mz.Diffusion(**{**OPTIONS, "widths": widths}).network.unet
    optimiser = torch.optim.AdamW(model.parameters(), 1e-4, (0.95, 0.999), weight_decay=1e-6)
    rate = get_scheduler("cosine", optimiser, num_warmup_steps=500, num_training_steps=10**6)
    average = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True, power=0.75)
    average.to(accelerator.device)
    loader = pil_loader(home, "L", 32, batch, workers=workers)
    model, optimiser, loader, rate = accelerator.prepare(model, optimiser, loader, rate)
    schedule = DDPMScheduler(num_train_timesteps=1000)
    images_for_ever = _epochs(loader)

    def take(steps: int) -> None:
        for images in islice(images_for_ever, steps):
            noise = torch.randn(images.shape, device=images.device)
            times = torch.randint(0, 1000, (len(images),), device=images.device).long()
            noisy = schedule.add_noise(images, noise, times)
            loss = F.mse_loss(model(noisy, times).sample.float(), noise.float())
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            rate.step()
            optimiser.zero_grad()
            average.step(model.parameters())
            loss.detach().item()

    return take


def _epochs(loader: object) -> Iterator[torch.Tensor]:
    for _ in cycle([0]):
        yield from loader  # type: ignore[misc]


def speed(take: Stepper, batch: int, steps: int) -> float:
    """Images a second."""
    torch.cuda.synchronize()
    clock = time.perf_counter()
    take(steps)
    torch.cuda.synchronize()
    return batch * steps / (time.perf_counter() - clock)


def throughput(widths: tuple[int, ...], batch: int, home: Path) -> list[str]:
    """Rows of the table for one network."""
    torch.manual_seed(0)
    ours = trainer(
        mz.Diffusion(**{**OPTIONS, "widths": widths}), batch, lr=1e-4, ema=0.05, compile="off"
    )
    peers = {f"{workers} workers": script(widths, batch, workers, home) for workers in (0, 8)}
    sides = {"ours": ours, **peers}
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):  # the first warms up
        for name, take in sides.items():
            rate = speed(take, batch, 300 if name == "ours" else 60)
            if turn:
                found[name].append(rate)
    rows = []
    for name in peers:
        ratios = [a / b for a, b in zip(found["ours"], found[name], strict=True)]
        cells = [str(widths), str(batch), f"diffusers' script, {name}",
                 f"{median(found['ours']):,.0f}", f"{median(found[name]):,.0f}",
                 f"**{median(ratios):.1f}** ({min(ratios):.1f} to {max(ratios):.1f})"]  # fmt: skip
        rows.append("| " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    return rows


def matmul_peak() -> float:
    """FLOP/s of a bf16 product of two 8192 x 8192 matrices."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    clock = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - clock)


def forward_flops(model: mz.Diffusion) -> float:
    """FLOPs of one image's forward pass, two a multiplication."""
    x = torch.zeros((1, *model.shape), device=model.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(x, torch.zeros(1, device=model.device), None)
    return float(counter.get_total_flops())


def utilisation(widths: tuple[int, ...], patch: int, batch: int, compiled: str) -> str:
    """A row of the MFU table."""
    torch.manual_seed(0)
    model = mz.Diffusion(size=32, channels=1, widths=widths, blocks=2, patch=patch)
    take = trainer(model, batch, lr=1e-4, compile=compiled)
    take(25)
    rate, peak = speed(take, batch, 40), matmul_peak()
    used = 3 * forward_flops(model) * rate
    cells = [f"{widths}, patch {patch}", str(batch), compiled, f"{rate:,.0f}", f"{used / 1e12:.0f}",
             f"{100 * used / peak:.1f}%", f"{100 * used / DATASHEET:.1f}%"]  # fmt: skip
    row = "| " + " | ".join(cells) + " |"
    print(row, flush=True)
    return row


def main() -> None:
    """Measure and write the section P3G."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args()
    home = grey_folder(Path(tempfile.mkdtemp()) / "images", IMAGES)
    device = f"{torch.cuda.get_device_name()}, bf16"
    lines = [
        "## P3 on a GPU: diffusion training in bf16\n",
        f"{header(['diffusers'], torch.get_num_threads(), ROUNDS, device)} {TARGETS}\n",
        "| UNet2DModel | batch | peer | ours, images/s | peer's | ratio (range) |",
        "|---|---|---|---|---|---|",
        *throughput((32, 64, 64), 64, home),
        *throughput((128, 256, 256), 64, home),
        "",
        "| our U-Net at 32 px | batch | compile | images/s | TFLOP/s | MFU | of 989 TFLOP/s |",
        "|---|---|---|---|---|---|---|",
        utilisation((128, 256), 1, 256, "off"),
        utilisation((256, 512), 1, 256, "off"),
    ]
    write_section(RESULTS, "P3G", "\n".join(lines) + "\n")
    if not options.no_compile:
        lines += [utilisation((128, 256), 1, 256, "on"), utilisation((256, 512), 1, 256, "on")]
        write_section(RESULTS, "P3G", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
