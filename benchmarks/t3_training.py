"""T3: training text to image on the same networks, against the loop of diffusers' script."""

import itertools
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from side_by_side import Benchmark, Case, Facts, Figure, Measure, Side, arguments, run, timed

import mezzotint as mz
from mezzotint.families.text_to_image import TextToImage
from mezzotint.text import tokenizer

SIZE, SET, MERGES = 64, 1024, 300
NOTES = """
Images a second of the second stage on 1,024 captioned shapes at 64 px: the same `AutoencoderKL`
(widths 16, 32, 64; latents 16x16x4), `CLIPTextModel` and `UNet2DConditionModel`, v prediction. Ours
is the whole `mezzotint.train(...)` of a model whose autoencoder is there, the cache of latents
included, with averaging, checkpoints and history, AdamW, no previews; it trains the text encoder
too. The peer is the loop of diffusers' examples/text_to_image/train_text_to_image.py with
`--use_ema`: PIL files, captions turned into numbers beforehand, VAE and text encoder run at every
step, the text encoder is not trained, AdamW, gradient clipping at 1. Three epochs a round.
"""


def captions(data: Any) -> list[str]:
    """The captions of the training side."""
    return list(data.captions_of(range(len(data))))


def shapes(count: int) -> Any:
    """The first training pictures, none held out."""
    data = mz.load_images("shapes", size=SIZE).train
    return data.subset(range(count))


def model(data: Any) -> TextToImage:
    """Networks with weights that depend on the seed alone."""
    torch.manual_seed(0)
    words = tokenizer.train(captions(data), MERGES)
    pairs = tuple(" ".join(pair) for pair in words.merges)
    return TextToImage(size=SIZE, channels=3, merges=pairs, length=words.length)


def ours(count: int, batch: int) -> Measure:
    """mezzotint.train."""
    data, home, names = shapes(min(SET, count)), Path(tempfile.mkdtemp()), itertools.count()

    def measure(turn: int) -> Figure:
        network, out = model(data), home / str(next(names))
        options = {
            "optimizer": "adamw",
            "lr": 1e-4,
            "max_grad_norm": 1.0,
            "jitter": 0.0,
            "previews": 0,
        }

        def train() -> Facts:
            mz.train(network, data, out=out, images=count, batch=batch, **options)
            return {}

        figure = timed(count, train)
        shutil.rmtree(out, ignore_errors=True)
        return figure

    return measure


class Files(torch.utils.data.Dataset):
    """PIL files and numbers of captions, as the script's data set has them."""

    def __init__(self, folder: Path, data: Any, words: Any) -> None:
        folder.mkdir(parents=True)
        self.files = [folder / f"{at}.png" for at in range(len(data))]
        for path, pixels in zip(self.files, data.gather(range(len(data))), strict=True):
            Image.fromarray(pixels).save(path)
        self.numbers = torch.from_numpy(words.encode(captions(data)))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = np.asarray(Image.open(self.files[at]).convert("RGB"), np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1, self.numbers[at]


def script(count: int, batch: int) -> Measure:
    """The training loop of diffusers' example."""
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    data = shapes(min(SET, count))
    files = Files(Path(tempfile.mkdtemp()) / "files", data, model(data).tokenizer)
    loader = torch.utils.data.DataLoader(files, batch_size=batch, shuffle=True)
    schedule = DDPMScheduler(
        num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"
    )

    def train() -> Facts:
        whole = model(data)
        vae, text, unet = (
            whole.coder.published(),
            whole.prior.network.text,
            whole.prior.network.unet,
        )
        text.requires_grad_(False)
        optimiser = torch.optim.AdamW(unet.parameters(), lr=1e-4, weight_decay=1e-2)
        average = EMAModel(unet.parameters())
        steps = math.ceil(count / batch)
        rate = get_scheduler("constant", optimiser, num_warmup_steps=500)
        batches = itertools.islice(itertools.chain.from_iterable(itertools.repeat(loader)), steps)
        for pixels, numbers in batches:
            with torch.no_grad():
                latents = vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor
                words = text(numbers, return_dict=False)[0]
            noise = torch.randn_like(latents)
            times = torch.randint(0, 1000, (len(latents),))
            noisy = schedule.add_noise(latents, noise, times)
            target = schedule.get_velocity(latents, noise, times)
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


def main() -> None:
    """Measure T3."""
    options = arguments(__doc__)
    cases = []
    for batch in (16, 64):
        sizes = {"count": 4 * batch if options.smoke else 3 * SET, "batch": batch}
        peer = Side("diffusers' script", script, sizes)
        name, mine = f"batch {batch}", Side("mezzotint", ours, sizes)
        cases.append(Case(name, "images/s", mine, [peer], {peer.name: 2.0}))
    title = "text-to-image training, images a second"
    run(Benchmark("T3", title, NOTES, ["diffusers", "transformers"]), cases, options)


if __name__ == "__main__":
    main()
