"""Stable Diffusion pipelines of others, opened part by part after they were looked through."""

from pathlib import Path
from typing import Any

import torch

from mezzotint.config import shown
from mezzotint.errors import ConfigError, DataError, MissingExtraError
from mezzotint.families.fitting import SPARE, free_bytes, require_room, weight_bytes
from mezzotint.families.piping import OWN, PretrainedConfig
from mezzotint.families.pretrained import Pretrained
from mezzotint.nets.quiet import quietly
from mezzotint.runs.hub import origin
from mezzotint.runs.safe_pipelines import PARTS, SAME, Parts, look_through, pipeline_class
from mezzotint.storage.scanning import read_mapping

VARIANTS = {
    "StableDiffusionPipeline": {
        "image": "StableDiffusionImg2ImgPipeline",
        "mask": "StableDiffusionInpaintPipeline",
    },
    "StableDiffusionXLPipeline": {
        "image": "StableDiffusionXLImg2ImgPipeline",
        "mask": "StableDiffusionXLInpaintPipeline",
    },
}
USUAL = {"StableDiffusionPipeline": (64, 64), "StableDiffusionXLPipeline": (128, 128)}
GUIDANCE = {"StableDiffusionPipeline": 7.5, "StableDiffusionXLPipeline": 5.0}
PLAIN = {"StableDiffusionPipeline": {"safety_checker": None, "feature_extractor": None}}
PLAIN["StableDiffusionPipeline"] |= {"requires_safety_checker": False}  # type: ignore[dict-item]
READ_SETTINGS = ("force_zeros_for_empty_prompt",)


def is_text_pipeline(folder: Path) -> bool:
    """Whether a pipeline folder names one that reads text."""
    return pipeline_class(folder) in (*PARTS, *SAME)


def read_text_pipeline(folder: Path, device: str | None = None) -> Pretrained:
    """A Stable Diffusion pipeline as a model, on a GPU in half precision where there is one.

    The safety checker is left out. Nothing in the folder is executed; see
    :mod:`mezzotint.runs.safe_pipelines`.

    Raises:
        RefusedError, ConfigError, MissingInputError: as :func:`look_through`.
        ConfigError: the weights will not fit in main memory.
        DataError: configuration and weights do not belong together.
        MissingExtraError: ``transformers`` is not installed.
    """
    parts = look_through(folder)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32 if place == "cpu" else torch.float16
    require_room(parts.weights, dtype, str(folder))
    opened = _opened(parts, dtype)
    weights = weight_bytes(one for one in opened.values() if isinstance(one, torch.nn.Module))
    if place != "cpu" and device is None and weights * SPARE > free_bytes(torch.device(place)):
        place = "cpu"  # to wait there until it is offloaded
    with quietly():
        pipeline, variants = _joined(parts, opened)
    config = _config(pipeline.unet.config.sample_size, pipeline.vae_scale_factor, parts.pipeline)
    found = Pretrained(config, pipeline.to(place), variants).eval()
    found.source = origin(folder)
    return found


def _opened(parts: Parts, dtype: torch.dtype) -> dict[str, Any]:
    try:
        with quietly():
            return {name: _part(parts, name, dtype) for name in parts.classes}
    except ImportError as error:
        raise MissingExtraError("transformers", "text") from error
    except (ValueError, RuntimeError, OSError, KeyError, TypeError) as error:
        what = f"this pipeline cannot be opened: {_line(error)}"
        raise DataError(what, str(parts.folder), "use another copy of it") from error


def _joined(parts: Parts, opened: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A pipeline of opened parts, and what makes its variants."""
    import diffusers

    switches = {name: parts.settings[name] for name in READ_SETTINGS if name in parts.settings}
    plain = PLAIN.get(parts.pipeline, {})
    pipeline = getattr(diffusers, parts.pipeline)(**opened, **plain, **switches)
    variants = {
        name: _variant(getattr(diffusers, kind), parts.pipeline)
        for name, kind in VARIANTS[parts.pipeline].items()
    }
    return pipeline, variants


def _part(parts: Parts, name: str, dtype: torch.dtype) -> Any:
    import diffusers
    import transformers

    library = diffusers if name in ("unet", "vae", "scheduler") else transformers
    kind = getattr(library, parts.classes[name])
    options: dict[str, Any] = {"local_files_only": True}
    if name not in ("scheduler", "tokenizer", "tokenizer_2"):
        options |= {"torch_dtype": dtype, "use_safetensors": True}
        options |= {"variant": "fp16"} if parts.half else {}
    return kind.from_pretrained(str(parts.folder / name), **options)


def _variant(kind: Any, pipeline: str) -> Any:
    """A class of pipelines made of the parts of another one, without its bar."""

    def build(**parts: Any) -> Any:
        extra = {"requires_safety_checker": False} if "safety_checker" in parts else {}
        built = kind(**parts, **extra)
        built.set_progress_bar_config(disable=True)
        return built

    return build


def text_pipeline_config(folder: Path) -> PretrainedConfig:
    """The options of what :func:`read_text_pipeline` reads, told from JSON alone.

    Raises:
        RefusedError, ConfigError, MissingInputError: there is no such pipeline.
    """
    named = str(pipeline_class(folder))
    unet, vae = (read_mapping(folder / part, "config.json") for part in ("unet", "vae"))
    widths = vae.get("block_out_channels")
    if not isinstance(widths, list) or not widths:
        what = "the autoencoder names no block_out_channels"
        raise ConfigError(what, str(folder / "vae" / "config.json"), "use another copy of it")
    return _config(unet.get("sample_size"), 2 ** (len(widths) - 1), SAME.get(named, named))


def _config(sides: Any, factor: int, name: str) -> PretrainedConfig:
    """Options of a pipeline whose latents have so many cells a side, ``factor`` pixels each."""
    if name not in GUIDANCE:
        raise ConfigError(f"{shown(name)} is another pipeline", fix=f"known: {', '.join(GUIDANCE)}")
    pair = [sides, sides] if isinstance(sides, int) else sides or USUAL[name]
    if not isinstance(pair, list | tuple) or [type(side) for side in pair] != [int, int]:
        fix = "a number of cells, or two"
        raise ConfigError(f"the network's sample_size is {shown(sides)}", fix=fix)
    size = (pair[0] * factor, pair[1] * factor)
    return PretrainedConfig(size=size, solver=OWN, guidance=GUIDANCE[name])


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
