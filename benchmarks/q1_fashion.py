"""Q1: ten minutes from raw Fashion-MNIST to 2,000 samples, judged by FD[lenet]; and its peers.

`ours` is one `mezzotint train diffusion` command of the default preset; `conditional` the same with
the classes left in, sampled with guidance; `diffusers` the unconditional recipe of diffusers'
examples with a small UNet2DModel, given generous settings; `lucidrains` its own Unet, loss and
Trainer settings. Only training is on the clock; a budget in images ("30000") repeats on a busy
machine what a quiet one trains in ten minutes.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from fashion_judge import Lenet, coverage, distance, judge, look
from p4_unet import lucidrains as their_package
from results import RESULTS, header, write_section

import mezzotint as mz
from mezzotint.config import parse_seconds

SAMPLES = 2000
PEER_BATCH = 16  # of diffusers' recipe; 64 leaves it 480 steps
GUIDANCE: list[dict[str, float]] = [
    {"guidance": 1.0},
    {"guidance": 1.5},
    {"guidance": 2.0},
    {"guidance": 3.0},
    {"guidance": 3.0, "guidance_high": 2.0},
    {"guidance": 4.0, "guidance_high": 2.0, "guidance_rescale": 0.7},
    {"guidance": 5.0, "guidance_high": 2.0},
]
Made = tuple[np.ndarray, int]


def ours(budget: str, folder: Path) -> Made:
    """The default preset without classes."""
    run = mz.train("diffusion", "fashion-mnist", out=folder, budget=budget, classes=())
    return mz.sample(run.model, SAMPLES), run.history[-1]["images"]


def diffusers(budget: str, folder: Path) -> Made:
    """DDPM with a UNet2DModel of 2.7M parameters, AdamW, EMA, batch 16; sampled by DDIM in 50."""
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
    from diffusers.training_utils import EMAModel

    torch.manual_seed(0)
    pixels = _train_pixels()
    net = UNet2DModel(
        sample_size=28, in_channels=1, out_channels=1, layers_per_block=1,
        block_out_channels=(32, 64, 128), norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    optimiser = torch.optim.AdamW(net.parameters(), 4e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    average = EMAModel(net.parameters(), decay=0.999, use_ema_warmup=True, power=0.75)
    schedule, seen, clock = DDPMScheduler(), 0, time.perf_counter()
    while not _over(budget, seen, clock):
        images = _padded(pixels, PEER_BATCH)
        noise, times = torch.randn(images.shape), torch.randint(0, 1000, (PEER_BATCH,))
        loss = F.mse_loss(net(schedule.add_noise(images, noise, times), times).sample, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        average.step(net.parameters())
        seen += PEER_BATCH
    average.copy_to(net.parameters())
    return _ddim(net, DDIMScheduler(timestep_spacing="trailing")), seen


def lucidrains(budget: str, folder: Path) -> Made:
    """Its Unet of 4.3M parameters, v-prediction, batch 16, Adam 1e-4, EMA; DDIM in 50 steps."""
    theirs, pixels = their_package(), _train_pixels()
    torch.manual_seed(0)
    net = theirs.Unet(dim=32, dim_mults=(1, 2, 4), channels=1)
    model = theirs.GaussianDiffusion(net, image_size=32, sampling_timesteps=50)
    average = theirs.EMA(model, beta=0.995, update_every=10)
    optimiser = torch.optim.Adam(model.parameters(), 1e-4, betas=(0.9, 0.99))
    seen, clock = 0, time.perf_counter()
    while not _over(budget, seen, clock):
        model((_padded(pixels, 16) + 1) / 2).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        average.update()
        seen += 16
    made = torch.cat([average.ema_model.sample(batch_size=200) for _ in range(SAMPLES // 200)])
    return _bytes(made[..., 2:-2, 2:-2]), seen


def _train_pixels() -> torch.Tensor:
    data = mz.load_images("fashion-mnist").train
    return torch.from_numpy(np.array(data.gather(range(len(data))))).permute(0, 3, 1, 2)


def _padded(pixels: torch.Tensor, count: int) -> torch.Tensor:
    """Random images in [-1, 1], 28 px in a black frame of 32 as U-Nets of three halvings want."""
    chosen = pixels[torch.randint(len(pixels), (count,))]
    return F.pad(chosen.float() / 127.5 - 1, (2,) * 4, value=-1.0)


def _over(budget: str, seen: int, clock: float) -> bool:
    if budget.isdigit():
        return seen >= int(budget)
    return time.perf_counter() - clock >= parse_seconds(budget)


def _bytes(images: torch.Tensor) -> np.ndarray:
    """Images in [0, 1] as uint8 NHWC."""
    return (images * 255).round().byte().permute(0, 2, 3, 1).numpy()


@torch.inference_mode()
def _ddim(net: torch.nn.Module, schedule: object, steps: int = 50) -> np.ndarray:
    made = []
    for part in range(SAMPLES // 200):
        x = torch.randn((200, 1, 32, 32), generator=torch.Generator().manual_seed(part))
        schedule.set_timesteps(steps)
        for moment in schedule.timesteps:
            x = schedule.step(net(x, moment).sample, moment, x).prev_sample
        made.append(x[..., 2:-2, 2:-2].clamp(-1, 1))
    return _bytes((torch.cat(made) + 1) / 2)


SIDES: dict[str, Callable[[str, Path], Made]] = {
    "ours": ours,
    "diffusers": diffusers,
    "lucidrains": lucidrains,
}


def conditional_rows(budget: str, folder: Path, net: Lenet, reference: np.ndarray) -> list[str]:
    """The default preset with its classes: distance, coverage, and share of the asked class."""
    run = mz.train("diffusion", "fashion-mnist", out=folder, budget=budget)
    classes, rows = run.model.config.classes, []
    labels = [index % len(classes) for index in range(SAMPLES)]
    for settings in GUIDANCE:
        made = mz.sample(run.model, SAMPLES, label=labels, **settings)
        share = (look(net, made)[1] == np.array(labels)).mean()
        cells = [
            ", ".join(f"{name} {value:g}" for name, value in settings.items()),
            f"{distance(net, made, reference):.2f}",
            f"{coverage(net, made, reference):.3f}", f"{100 * share:.1f}%",
        ]  # fmt: skip
        rows.append("| " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    mz.sample(run.model, 100, label=[i // 10 for i in range(100)], guidance=2.0,
              out=folder / "classes.png")  # fmt: skip
    return rows


def main() -> None:
    """Train each side one after the other and write the sections Q1 and Q1c."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--sides", nargs="+", default=[*SIDES, "conditional"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS, help="Markdown file to update")
    parser.add_argument("--keep", type=Path, help="keep the runs here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    net, data = judge(), mz.load_images("fashion-mnist")
    reference, _ = look(net, data.held_out.gather(range(len(data.held_out))))
    real = data.train.gather(np.arange(0, 60_000, 60_000 // SAMPLES))
    told = f"{header(['diffusers'], options.threads, 1)} Budget {options.budget} of wall clock."
    with tempfile.TemporaryDirectory() as temporary:
        home = options.keep or Path(temporary)
        rows = [f"| {SAMPLES:,} training images | {distance(net, real, reference):.2f} | "
                f"{coverage(net, real, reference):.3f} | |"]  # fmt: skip
        for name in (side for side in SIDES if side in options.sides):
            made, seen = SIDES[name](options.budget, home / name)
            found = f"{distance(net, made, reference):.2f} | {coverage(net, made, reference):.3f}"
            rows.append(f"| {name} | {found} | {seen:,} |")
            print(rows[-1], flush=True)
        table = ["| samples | FD[lenet] | coverage | images seen |", "|---|---|---|---|", *rows]
        if len(rows) > 1:
            title = "## Q1: ten CPU minutes of unconditional diffusion"
            text = "\n".join([title, "", told + NOTES, "", *table, ""])
            write_section(options.results, "Q1", text)
        if "conditional" in options.sides:
            rows = conditional_rows(options.budget, home / "conditional", net, reference)
            table = [
                "| guidance | FD[lenet] | coverage | asked class |",
                "|---|---|---|---|",
                *rows,
            ]
            title = "## Q1c: the same with classes and guidance"
            text = "\n".join([title, "", told + NOTES, "", *table, ""])
            write_section(options.results, "Q1c", text)


NOTES = (
    " FD[lenet]: Frechet distance of 128 features of a classifier trained on the train split "
    f"(fashion_judge.py), n = {SAMPLES:,} samples against the 10,000 test images; coverage with "
    "k = 5 against 2,000 of them. Targets: FD at most 6, at most 1/15 of the best peer's; 97% in "
    "the asked class at a coverage not below the unconditional one."
)

if __name__ == "__main__":
    main()
