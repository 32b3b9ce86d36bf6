"""Tiny Stable Diffusion pipelines with random weights in the layouts of the real ones."""

import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from mezzotint.data.scenes import scene
from mezzotint.data.shapes import draw_scene
from mezzotint.text import tokenizer

CAPTIONS = ["a red circle", "a photo of an astronaut riding a horse"]
NOISE: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}
WIDTH = 32


def text_config(vocabulary: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=64,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )


def unet(cross: int, **options: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=cross,
        attention_head_dim=4,
        norm_num_groups=8,
        **options,
    )


def vae() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
        scaling_factor=0.18215,
    )


def words(folder: Path) -> Any:
    tokenizer.train(CAPTIONS, 40, length=77).save(folder / "words")
    return CLIPTokenizer.from_pretrained(folder / "words")


def shaken(*modules: Any) -> None:
    with torch.no_grad():
        for module in modules:
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.03)


def stable_diffusion(folder: Path, scheduler: Any) -> Any:
    """SD 1.x and 2.x: one text encoder."""
    torch.manual_seed(0)
    told = words(folder)
    text = CLIPTextModel(text_config(len(told)))
    parts = {"vae": vae(), "text_encoder": text, "unet": unet(WIDTH)}
    shaken(*parts.values())
    return diffusers.StableDiffusionPipeline(
        **parts,
        tokenizer=told,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def xl(folder: Path) -> Any:
    """SD XL: two text encoders, size and crop."""
    torch.manual_seed(0)
    told = words(folder)
    config = text_config(len(told))
    texts = (CLIPTextModel(config), CLIPTextModelWithProjection(config))
    network = unet(
        2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )
    parts = {"vae": vae(), "text_encoder": texts[0], "text_encoder_2": texts[1], "unet": network}
    shaken(*parts.values())
    return diffusers.StableDiffusionXLPipeline(
        **parts,
        tokenizer=told,
        tokenizer_2=told,
        scheduler=diffusers.EulerDiscreteScheduler(**NOISE, timestep_spacing="leading"),
        add_watermarker=False,
    )


def sd15(folder: Path) -> Any:
    """As SD 1.5 has it: PNDM."""
    scheduler = diffusers.PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1)
    return stable_diffusion(folder, scheduler)


def sd21(folder: Path) -> Any:
    """As SD 2.1 has it: DDIM and predictions of v."""
    scheduler = diffusers.DDIMScheduler(
        **NOISE,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return stable_diffusion(folder, scheduler)


def old_index(folder: Path) -> None:
    """``model_index.json`` as it was written in 2022, with a safety checker that is not there."""
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    index = {name: value for name, value in index.items() if name != "requires_safety_checker"}
    index["_diffusers_version"] = "0.6.0"
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    path.write_text(json.dumps(index))


LAYOUTS = {"sd15": sd15, "sd21": sd21, "xl": xl}


def saved(layout: str, folder: Path) -> Path:
    """A pipeline folder of a layout; ``sd15-old`` has an old index."""
    pipeline = LAYOUTS[layout.removesuffix("-old")](folder)
    place = folder / layout
    pipeline.save_pretrained(place, safe_serialization=True)
    if layout.endswith("-old"):
        old_index(place)
    return place


def sentence_encoder(folder: Path, captions: list[str], seed: int = 0) -> Path:
    """A folder as sentence encoders have it: BERT, its words, and files that no one here reads."""
    torch.manual_seed(seed)
    words = sorted({word for text in captions for word in text.split()})
    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    rules = BertTokenizer(vocab={word: at for at, word in enumerate(vocabulary)})
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    network = BertModel(config)
    shaken(network)
    network.save_pretrained(folder, safe_serialization=True)
    rules.save_pretrained(folder)
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Pooling"}]')
    (folder / "train_script.py").write_text("raise SystemExit('this was run')")
    return folder


def captioned_shapes(path: Path) -> Path:
    """64 shapes with captions, some missing."""
    captions = ["" if at % 9 == 0 else scene(at).caption for at in range(64)]
    np.savez(path, images=np.stack([draw_scene(at) for at in range(64)]), captions=captions)
    return path
