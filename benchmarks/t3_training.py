"""T3: training text to image on the same networks, against the loop of diffusers' script."""

import itertools
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from side_by_side import Benchmark, Case, Facts, Figure, Measure, Side, arguments, run, timed

import mezzotint as mz
from mezzotint.families.text_to_image import TextToImage
from mezzotint.text import tokenizer

MERGES = 300
NOTES = """
Images a second of the second stage on captioned shapes: the same `AutoencoderKL`, `CLIPTextModel`
and `UNet2DConditionModel`. Ours is a whole `mezzotint.train(...)` with the cache of latents and
texts that it makes first, averaging, checkpoints, history and held-out losses, AdamW, no pictures.
The peer is the loop of diffusers' examples/text_to_image/train_text_to_image.py with `--use_ema`:
PIL files, captions turned into numbers beforehand, VAE and text encoder run at every step, the text
encoder is not trained, AdamW, gradient clipping at 1.

*From scratch*: the default networks at 64 px (VAE of widths 16, 32, 64 with latents 16x16x4, U-Net
64, 128, v prediction), 256 images, six epochs; ours trains the text encoder too. *Fine-tuning*: a
pipeline with the layers of Stable Diffusion 1.5 and a quarter of its channels (VAE 32, 64, 128,
128; text 192 wide with 12 layers, 77 pieces; U-Net 80, 160, 320, 320) at 128 px, 64 images, six
epochs, whole U-Net, on both sides no text encoder.

A cache spares a step its encoding and nothing else: on one core that is 15% of what the U-Net takes
from scratch, about half of it when fine-tuning. Arithmetic sets the pace of the U-Net (80% of what
a matrix product reaches); compiled, it is 8% faster after 146 s of compiling.
"""


class Parts(NamedTuple):
    """What the script trains with; ``numbers``: (N, length) of N captions."""

    vae: Any
    text: Any
    unet: Any
    numbers: Callable[[list[str]], torch.Tensor]
    schedule: Any


def captions(data: Any) -> list[str]:
    """The captions of the training side."""
    return list(data.captions_of(range(len(data))))


def shapes(count: int, size: int) -> Any:
    """The first training pictures, none held out."""
    data = mz.load_images("shapes", size=size).train
    return data.subset(range(count))


def small(data: Any) -> TextToImage:
    """The default networks with weights that depend on the seed alone."""
    torch.manual_seed(0)
    words = tokenizer.train(captions(data), MERGES)
    pairs = tuple(" ".join(pair) for pair in words.merges)
    size = data.gather(range(1)).shape[1:3]
    return TextToImage(size=size, channels=3, merges=pairs, length=words.length)


def small_parts(data: Any) -> Parts:
    """The same networks by themselves."""
    from diffusers import DDPMScheduler

    whole = small(data)
    schedule = DDPMScheduler(
        num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"
    )
    network: Any = whole.prior.network
    encode = whole.tokenizer.encode
    return Parts(
        whole.coder.published(),
        network.text,
        network.unet,
        lambda texts: torch.from_numpy(encode(texts)),
        schedule,
    )


def pipeline(data: Any) -> Any:
    """Stable Diffusion 1.5 with a quarter of its channels, weights from the seed."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as home:
        tokenizer.train(captions(data), MERGES, length=77).save(Path(home))
        words = CLIPTokenizer.from_pretrained(home)
    text = CLIPTextConfig(vocab_size=len(words), hidden_size=192, intermediate_size=768,
                          num_hidden_layers=12, num_attention_heads=3, projection_dim=192,
                          bos_token_id=len(words) - 2, eos_token_id=len(words) - 1,
                          pad_token_id=len(words) - 1)  # fmt: skip
    vae = diffusers.AutoencoderKL(block_out_channels=(32, 64, 128, 128), layers_per_block=2,
                                  down_block_types=("DownEncoderBlock2D",) * 4,
                                  up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=8,
                                  latent_channels=4, sample_size=128)  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=16, block_out_channels=(80, 160, 320, 320), layers_per_block=2,
        cross_attention_dim=192, attention_head_dim=8, norm_num_groups=16)  # fmt: skip
    noise = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler = diffusers.PNDMScheduler(**noise, skip_prk_steps=True, steps_offset=1)
    return diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), unet=unet, tokenizer=words, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)  # fmt: skip


def pipeline_parts(data: Any) -> Parts:
    """The networks of that pipeline."""
    from diffusers import DDPMScheduler

    made = pipeline(data)

    def numbers(texts: list[str]) -> torch.Tensor:
        options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        found: torch.Tensor = made.tokenizer(texts, max_length=77, **options).input_ids
        return found

    schedule = DDPMScheduler.from_config(made.scheduler.config)
    return Parts(made.vae, made.text_encoder, made.unet, numbers, schedule)


def from_scratch(data: Any, home: Path) -> Callable[[Path, Any], Any]:
    """mezzotint.train of the default networks."""
    return lambda out, options: mz.train(small(data), data, out=out, jitter=0.0, **options)


def fine_tuned(data: Any, home: Path) -> Callable[[Path, Any], Any]:
    """mezzotint.train on top of that pipeline."""
    pipeline(data).save_pretrained(home / "pipeline", safe_serialization=True)
    start = home / "pipeline"
    return lambda out, options: mz.train("text-to-image", data, out, start=start, **options)


KINDS = {"from scratch": (from_scratch, small_parts), "fine-tuning": (fine_tuned, pipeline_parts)}


def ours(kind: str, size: int, images: int, count: int, batch: int) -> Measure:
    """mezzotint.train."""
    data, home, names = shapes(images, size), Path(tempfile.mkdtemp()), itertools.count()
    job = KINDS[kind][0](data, home)
    options = {"optimizer": "adamw", "lr": 1e-4, "max_grad_norm": 1.0, "previews": 0}

    def measure(turn: int) -> Figure:
        out = home / str(next(names))

        def train() -> Facts:
            job(out, {**options, "images": count, "batch": batch})
            return {}

        figure = timed(count, train)
        shutil.rmtree(out, ignore_errors=True)
        return figure

    return measure


class Files(torch.utils.data.Dataset):
    """PIL files and numbers of captions, as the script's data set has them."""

    def __init__(self, folder: Path, data: Any, numbers: torch.Tensor) -> None:
        folder.mkdir(parents=True)
        self.files = [folder / f"{at}.png" for at in range(len(data))]
        for path, pixels in zip(self.files, data.gather(range(len(data))), strict=True):
            Image.fromarray(pixels).save(path)
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = np.asarray(Image.open(self.files[at]).convert("RGB"), np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1, self.numbers[at]


def script(kind: str, size: int, images: int, count: int, batch: int) -> Measure:
    """The training loop of diffusers' example."""
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    data = shapes(images, size)
    numbers = KINDS[kind][1](data).numbers(captions(data))
    files = Files(Path(tempfile.mkdtemp()) / "files", data, numbers)
    loader = torch.utils.data.DataLoader(files, batch_size=batch, shuffle=True)

    def train() -> Facts:
        vae, text, unet, _, schedule = KINDS[kind][1](data)
        text.requires_grad_(False)
        unet.train()
        optimiser = torch.optim.AdamW(unet.parameters(), lr=1e-4, weight_decay=1e-2)
        average = EMAModel(unet.parameters())
        steps = math.ceil(count / batch)
        rate = get_scheduler("constant", optimiser, num_warmup_steps=500)
        batches = itertools.islice(itertools.chain.from_iterable(itertools.repeat(loader)), steps)
        for pixels, told in batches:
            with torch.no_grad():
                latents = vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor
                words = text(told, return_dict=False)[0]
            noise = torch.randn_like(latents)
            times = torch.randint(0, 1000, (len(latents),))
            noisy = schedule.add_noise(latents, noise, times)
            kind_of = schedule.config.prediction_type
            target = noise if kind_of == "epsilon" else schedule.get_velocity(latents, noise, times)
            made = unet(noisy, times, words, return_dict=False)[0]
            loss = F.mse_loss(made.float(), target.float(), reduction="mean")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimiser.step()
            rate.step()
            optimiser.zero_grad()
            average.step(unet.parameters())
            loss.detach().item()
        return {}

    return lambda turn: timed(count, train)


CASES = {
    "from scratch, 64 px, batch 16": {"size": 64, "images": 256, "count": 1536, "batch": 16},
    "from scratch, 64 px, batch 64": {"size": 64, "images": 256, "count": 1536, "batch": 64},
    "fine-tuning, 128 px, batch 8": {"size": 128, "images": 64, "count": 384, "batch": 8},
}


def main() -> None:
    """Measure T3."""
    options = arguments(__doc__)
    cases = []
    for name, sizes in CASES.items():
        given = {"kind": name.partition(",")[0], **sizes}
        if options.smoke:
            given |= {"images": 16, "count": 2 * given["batch"]}
        peer = Side("diffusers' script", script, given)
        cases.append(
            Case(name, "images/s", Side("mezzotint", ours, given), [peer], {peer.name: 2.0})
        )
    title = "text-to-image training, images a second"
    run(Benchmark("T3", title, NOTES, ["diffusers", "transformers"]), cases, options)


if __name__ == "__main__":
    main()
