"""Stable Diffusion pipeline folders from anywhere, looked through before any of it is used.

Only classes of a closed list are built, each by its own name, from JSON and safetensors. Nothing of
the folder is code: what could be run is refused, wherever it stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint.config import shown
from mezzotint.errors import ConfigError
from mezzotint.storage.readers import inside, parse_json, read_small
from mezzotint.storage.scanning import (
    check_settings,
    check_weights,
    count_weights,
    read_mapping,
    refuse_code,
    refuse_keys,
)

INDEX = "model_index.json"
TEXTS = {
    "text_encoder": ("CLIPTextModel", "BertModel"),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast", "BertTokenizer", "BertTokenizerFast"),
}
SECOND = {
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
SCHEDULERS = tuple(
    f"{name}Scheduler"
    for name in (
        "DDIM",
        "DDPM",
        "PNDM",
        "LMSDiscrete",
        "EulerDiscrete",
        "EulerAncestralDiscrete",
        "HeunDiscrete",
        "DPMSolverMultistep",
        "DPMSolverSinglestep",
        "UniPCMultistep",
        "DEISMultistep",
        "KDPM2Discrete",
        "LCM",
    )
)
NETWORKS = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "scheduler": SCHEDULERS,
}
PARTS: dict[str, Mapping[str, Sequence[str]]] = {
    "StableDiffusionPipeline": {**TEXTS, **NETWORKS},
    "StableDiffusionXLPipeline": {**TEXTS, **SECOND, **NETWORKS},
}
SAME = {
    "StableDiffusionImg2ImgPipeline": "StableDiffusionPipeline",
    "StableDiffusionXLImg2ImgPipeline": "StableDiffusionXLPipeline",
}
LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")


@dataclass(frozen=True)
class Parts:
    """What a pipeline folder holds.

    Attributes:
        folder: of the pipeline.
        pipeline: its class.
        classes: part -> its class.
        half: whether the weights are there in half precision only.
        weights: how many numbers they are.
        settings: of the pipeline itself, such as ``force_zeros_for_empty_prompt``.
    """

    folder: Path
    pipeline: str
    classes: Mapping[str, str]
    half: bool
    weights: int
    settings: Mapping[str, bool]


def pipeline_class(folder: Path) -> str | None:
    """The class that a pipeline folder names, as it is written there.

    Raises:
        MissingInputError, ConfigError, RefusedError: there is no index, or no valid one.
    """
    path = inside(folder, INDEX)
    index = parse_json(read_small(path), path)
    name = index.get("_class_name") if isinstance(index, dict) else None
    return name if isinstance(name, str) else None


def look_through(folder: Path) -> Parts:
    """Check every file of a Stable Diffusion pipeline folder; none is executed.

    Raises:
        RefusedError: something could run code, or leads out of the folder.
        ConfigError: another pipeline, or another part in it.
        MissingInputError, DataError: a part is missing or damaged.
    """
    refuse_code(folder)
    index = read_mapping(folder, INDEX)
    named = str(index.get("_class_name"))
    pipeline = SAME.get(named, named)
    if pipeline not in PARTS:
        fix = "the pipelines known here: " + ", ".join((*PARTS, *SAME))
        raise ConfigError(f"{shown(named)} is another pipeline", str(folder / INDEX), fix)
    classes = {name: _class(index, name, known, folder) for name, known in PARTS[pipeline].items()}
    _refuse_others(index, pipeline, folder)
    weighty = [name for name in classes if name.startswith(("unet", "vae", "text_encoder"))]
    half = {check_weights(folder / name) for name in weighty} == {True}
    weights = sum(count_weights(folder / name, half) for name in weighty)
    for name in classes:
        check_settings(folder / name)
    settings = {name: value for name, value in index.items() if isinstance(value, bool)}
    return Parts(folder, pipeline, classes, half, weights, settings)


def _class(index: Mapping[str, Any], name: str, known: Sequence[str], folder: Path) -> str:
    part = index.get(name)
    plain = isinstance(part, list) and len(part) == 2 and part[0] in ("diffusers", "transformers")
    if not plain or part is None or part[1] not in known:
        what = f"the part '{name}' is {shown(part)}, which is not known here"
        raise ConfigError(what, str(folder / INDEX), f"known: {', '.join(known)}")
    return str(part[1])


def _refuse_others(index: Mapping[str, Any], pipeline: str, folder: Path) -> None:
    """Nothing beside the known parts, but for those that are left out and for switches."""
    for name, value in index.items():
        switch = isinstance(value, bool) or name.startswith("_")
        if name not in (*PARTS[pipeline], *LEFT_OUT) and not switch and value not in ([None] * 2,):
            what = f"the pipeline has a part '{shown(name)}', which is not known here"
            raise ConfigError(what, str(folder / INDEX), "use a plain Stable Diffusion pipeline")
    refuse_keys(index, folder / INDEX)
