"""Stable Diffusion pipeline folders from anywhere, looked through before any of it is used.

Only classes of a closed list are built, each by its own name, from JSON and safetensors. Nothing of
the folder is code: what could be run is refused, wherever it stands.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint.config import shown
from mezzotint.errors import ConfigError, MissingInputError, RefusedError
from mezzotint.storage.readers import inside, parse_json, read_small
from mezzotint.storage.weights import check_header

INDEX = "model_index.json"
TEXTS = {"text_encoder": ("CLIPTextModel",), "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast")}
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
SETTINGS = (
    "config.json",
    "scheduler_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
CODE = (".py", ".pyc", ".so", ".pkl", ".pickle", ".sh", ".dll", ".dylib")
REFUSED_KEYS = ("auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code")
UNBOUNDED = ("model_max_length",)  # transformers writes 10^30 there for "no limit"
REFUSED_STARTS = ("_attn_implementation", "_experts_implementation")
COUNTS = ("num_hidden_layers", "layers_per_block", "transformer_layers_per_block", "num_layers")
MOST_LAYERS, MOST_NUMBER, MOST_FILES = 128, 10_000_000, 2000
WORDS_LIMIT = 16 << 20
_COPY = "use another copy, from a source you trust"


@dataclass(frozen=True)
class Parts:
    """What a pipeline folder holds.

    Attributes:
        folder: of the pipeline.
        pipeline: its class.
        classes: part -> its class.
        half: whether the weights are there in half precision only.
        settings: of the pipeline itself, such as ``force_zeros_for_empty_prompt``.
    """

    folder: Path
    pipeline: str
    classes: Mapping[str, str]
    half: bool
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
    _refuse_code(folder)
    index = _json(folder, INDEX)
    named = str(index.get("_class_name"))
    pipeline = SAME.get(named, named)
    if pipeline not in PARTS:
        fix = "the pipelines known here: " + ", ".join((*PARTS, *SAME))
        raise ConfigError(f"{shown(named)} is another pipeline", str(folder / INDEX), fix)
    classes = {name: _class(index, name, known, folder) for name, known in PARTS[pipeline].items()}
    _refuse_others(index, pipeline, folder)
    halves = {_check_part(folder, name) for name in classes if name in ("unet", "vae")}
    halves |= {_check_part(folder, name) for name in classes if name.startswith("text_encoder")}
    for name in classes:
        _check_settings(folder / name)
    settings = {name: value for name, value in index.items() if isinstance(value, bool)}
    return Parts(folder, pipeline, classes, halves == {True}, settings)


def _refuse_code(folder: Path) -> None:
    for count, path in enumerate(folder.rglob("*")):
        if count > MOST_FILES:
            raise RefusedError(f"more than {MOST_FILES:,} files", str(folder), _COPY)
        inside(folder, str(path.relative_to(folder)))
        if path.suffix.lower() in CODE:
            raise RefusedError("there is code among the files of a model", str(path), _COPY)


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
    _refuse_keys(index, folder / INDEX)


def _json(folder: Path, name: str, limit: int = 1 << 20) -> dict[str, Any]:
    path = inside(folder, name)
    found = parse_json(read_small(path, limit), path)
    if not isinstance(found, dict):
        raise ConfigError("not a mapping", str(path), _COPY)
    return found


def _check_settings(place: Path) -> None:
    """The settings of a part name no code and no sizes that only an attack has."""
    for name in SETTINGS:
        if (place / name).is_file():
            _refuse_keys(_json(place, name), place / name)
    for name in ("vocab.json", "tokenizer.json"):
        if (place / name).is_file():
            _json(place, name, WORDS_LIMIT)


def _refuse_keys(value: Any, path: Path) -> None:
    for key, item in _pairs(value):
        if key in REFUSED_KEYS or key.startswith(REFUSED_STARTS):
            raise RefusedError(f"'{shown(key)}' would run code", str(path), _COPY)
        numbers = item if isinstance(item, list) else [item]
        most = MOST_LAYERS if key in COUNTS else MOST_NUMBER
        whole = [one for one in numbers if isinstance(one, int) and not isinstance(one, bool)]
        if len(numbers) > MOST_LAYERS and key.endswith(("channels", "types")):
            raise RefusedError(f"'{shown(key)}' has {len(numbers):,} entries", str(path), _COPY)
        if key not in UNBOUNDED and any(abs(one) > most for one in whole):
            raise RefusedError(f"'{shown(key)}' is out of range", str(path), _COPY)


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    items = value.items() if isinstance(value, dict) else ()
    yield from items
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list) else ():
        if isinstance(child, dict | list):
            yield from _pairs(child)


def _check_part(folder: Path, name: str) -> bool:
    """Check the weights of a part; whether they are in half precision only."""
    place = folder / name
    found = sorted(place.glob("*.safetensors"))
    if not found:
        pickles = [path for kind in ("*.bin", "*.pt", "*.ckpt") for path in place.glob(kind)]
        what = "the weights are a pickle, which could run code" if pickles else "there are none"
        fix = "save the pipeline again with safe_serialization=True"
        raise MissingInputError(what, str(pickles[0] if pickles else place), fix)
    for path in found:
        check_header(inside(folder, str(path.relative_to(folder))))
    for path in place.glob("*.index.json"):
        shards = _json(place, path.name).get("weight_map")
        files = set(shards.values()) if isinstance(shards, dict) else {""}
        if not files <= {path.name for path in found}:
            raise RefusedError("shards lead elsewhere", str(path), _COPY)
    return all(".fp16" in path.name for path in found)
