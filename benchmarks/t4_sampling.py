"""T4: sampling a pipeline folder, eight prompts, against diffusers' pipeline one by one."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from side_by_side import Benchmark, Case, Facts, Measure, Side, arguments, run, timed

import mezzotint as mz
from mezzotint.data.scenes import scene
from mezzotint.families.text_to_image import TextToImage
from mezzotint.seeds import ImageNoise
from mezzotint.text import tokenizer

PROMPTS = [scene(at).caption for at in range(8)]
STEPS, GUIDANCE = 25, 5.0
NOTES = f"""
Images a second of {STEPS} steps of DDIM with guidance {GUIDANCE:g} for eight prompts, from the same
pipeline folder of a `text-to-image` model with random weights and from the same latents. Ours is
`mezzotint.sample(folder, ...)` of all eight; `run` is the same of the run the folder was exported
from. The peer calls diffusers' `StableDiffusionPipeline` once a prompt. "the same result" is the
mean of the pixels.
"""


def folders(size: int) -> tuple[Path, Path]:
    """A model folder and its pipeline folder."""
    home = Path(tempfile.mkdtemp())
    torch.manual_seed(0)
    words = tokenizer.train([scene(at).caption for at in range(2000)], 300)
    pairs = tuple(" ".join(pair) for pair in words.merges)
    model = TextToImage(size=size, channels=3, merges=pairs, length=words.length).eval()
    model.prepare(torch.rand(64, 3, size, size) * 2 - 1, None)
    model.save_pretrained(home / "model")
    mz.export(model, home / "pipeline")
    return home / "model", home / "pipeline"


def ours(size: int, pipeline: bool) -> Measure:
    """mezzotint.sample."""
    model = mz.load(folders(size)[pipeline])
    options: dict[str, Any] = {"prompt": PROMPTS, "steps": STEPS, "guidance": GUIDANCE}

    def make() -> Facts:
        return {"mean": float(model.sample(range(8), **options).mean())}

    return lambda turn: timed(len(PROMPTS), make)


def peer(size: int) -> Measure:
    """diffusers' pipeline, one prompt a call."""
    import diffusers

    found: Any = diffusers.StableDiffusionPipeline.from_pretrained(folders(size)[1])
    found.set_progress_bar_config(disable=True)
    channels, side = found.unet.config.in_channels, size // found.vae_scale_factor
    options = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "output_type": "pt"}

    def make() -> Facts:
        parts = [
            found(text, height=size, width=size, latents=ImageNoise([seed]).randn(
                channels, side, side), **options).images
            for seed, text in enumerate(PROMPTS)
        ]  # fmt: skip
        return {"mean": float((torch.cat(parts) * 2 - 1).mean())}

    return lambda turn: timed(len(PROMPTS), make)


def main() -> None:
    """Measure T4."""
    options = arguments(__doc__)
    cases = []
    for size in (32,) if options.smoke else (32, 64):
        other = Side("diffusers, one by one", peer, {"size": size})
        for name, pipeline in (("folder", True), ("run", False)):
            mine = Side("mezzotint", ours, {"size": size, "pipeline": pipeline})
            told = {"mean": (1e-3, 0.0)}
            title = f"{size} px, {name}"
            cases.append(Case(title, "images/s", mine, [other], {other.name: 1.5}, told))
    title = "text-to-image sampling, images a second"
    run(Benchmark("T4", title, NOTES, ["diffusers", "transformers"]), cases, options)


if __name__ == "__main__":
    main()
