"""Text to image: ``StableDiffusionPipeline`` opens our folder and draws our pictures."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers", reason="extra 'text'")
pytest.importorskip("tokenizers", reason="extra 'text'")

import diffusers

from mezzotint.errors import CannotCreateError, ConfigError
from mezzotint.families.base import Batch
from mezzotint.families.conditions import make_conditions
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.kl_vae import KLVAE
from mezzotint.nets.text_unet import TextUNet, heads
from mezzotint.runs.text_pipelines import write_text_pipeline
from mezzotint.seeds import BatchNoise, ImageNoise
from mezzotint.stepping import solve
from mezzotint.text.tokenizer import CaptionTokenizer, train

PROMPTS = ["a red circle", "a blue square above a zyzzyva 🟥", "", "word " * 300]
SEEDS = (5, 6, 7, 8)
PRIOR: dict[str, Any] = {"process": "linear", "prediction": "eps", "solver": "ddim", "clip": "none"}
Stack = tuple[KLVAE, Diffusion, CaptionTokenizer]


def stack(size: tuple[int, int] = (16, 24), **options: Any) -> Stack:
    torch.manual_seed(0)
    tokenizer = train(["a red circle", "a blue square above a red circle"], 40)
    coder = KLVAE(size=size, channels=3, widths=(8, 16), adversarial=0).train()
    noise = BatchNoise((0,), 4)
    coder.coder_loss(Batch(torch.rand(4, 3, *size) * 2 - 1, noise, progress=0.0))
    channels, *grid = coder.latent_shape
    empty = tokenizer.encode([""])[0].tolist()
    network = TextUNet(channels, grid, empty, (16, 32), text_width=16)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    settings = {"channels": channels, "size": tuple(grid), "steps": 10, **PRIOR, **options}
    return coder.eval(), Diffusion(network=network, **settings).eval(), tokenizer


@torch.inference_mode()
def ours(parts: Stack, guidance: float) -> torch.Tensor:
    coder, prior, tokenizer = parts
    told = torch.from_numpy(tokenizer.encode(PROMPTS))
    conditions = make_conditions(prior.shape, told, len(PROMPTS))
    latent = solve(prior.trajectory(ImageNoise(SEEDS), conditions, guidance=guidance))
    return coder.decode(latent / coder.scaling_factor)


def theirs(folder: Path, parts: Stack, guidance: float) -> torch.Tensor:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    height, width = parts[0].config.size
    made = pipeline(
        PROMPTS,
        height=height,
        width=width,
        num_inference_steps=10,
        guidance_scale=guidance,
        latents=ImageNoise(SEEDS).randn(*parts[1].shape),
        output_type="pt",
    )
    return made.images * 2 - 1


@pytest.mark.parametrize("guidance", [1.0, 7.5])
@pytest.mark.parametrize("prediction", ["eps", "v"])
def test_diffusers_draws_the_same_picture(guidance: float, prediction: str, tmp_path: Path) -> None:
    parts = stack(prediction=prediction)
    write_text_pipeline(*parts, tmp_path / "folder")
    found = theirs(tmp_path / "folder", parts, guidance)
    expected = ours(parts, guidance)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_the_prompt_and_the_guidance_change_the_picture() -> None:
    parts = stack()
    weak, strong = ours(parts, 1.0), ours(parts, 7.5)
    assert (weak - strong)[0].abs().max() > 1e-4
    torch.testing.assert_close(weak[2], strong[2], atol=1e-4, rtol=0)  # nothing was asked


def test_the_folder_has_the_five_parts_and_no_code(tmp_path: Path) -> None:
    write_text_pipeline(*stack(), tmp_path / "folder")
    index = json.loads((tmp_path / "folder" / "model_index.json").read_text())
    kinds = {name: part[1] for name, part in index.items() if isinstance(part, list) and part[1]}
    assert kinds == {
        "vae": "AutoencoderKL",
        "unet": "UNet2DConditionModel",
        "text_encoder": "CLIPTextModel",
        "tokenizer": "CLIPTokenizer",
        "scheduler": "DDIMScheduler",
    }
    names = {path.suffix for path in (tmp_path / "folder").rglob("*") if path.is_file()}
    assert names == {".json", ".safetensors", ".txt", ".md"}
    with pytest.raises(CannotCreateError):
        write_text_pipeline(*stack(), tmp_path / "folder")


@pytest.mark.parametrize("options", [{"clip": "static"}, {"spacing": "leading"}])
def test_what_the_pipeline_would_do_otherwise_is_told(
    options: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        write_text_pipeline(*stack(**options), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_no_text_is_the_empty_text() -> None:
    _, prior, tokenizer = stack()
    noisy, time = torch.randn(2, *prior.shape), torch.tensor([3, 900])
    empty = torch.from_numpy(tokenizer.encode(["", ""]))
    expected = prior.network(noisy, time, empty)
    torch.testing.assert_close(prior.network(noisy, time), expected)
    torch.testing.assert_close(prior.network(noisy, time, torch.full_like(empty, -1)), expected)


@pytest.mark.parametrize(
    ("width", "least", "count"),
    [(16, 8, 2), (64, 8, 8), (64, 32, 2), (320, 32, 8), (96, 32, 3), (12, 8, 1), (7, 8, 1)],
)
def test_heads_divide_the_width(width: int, least: int, count: int) -> None:
    assert heads(width, least) == count
