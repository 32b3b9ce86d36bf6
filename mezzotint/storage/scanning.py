"""Files of a model from anywhere, looked through before any of it is used.

Nothing of a folder is code: what could be run is refused, wherever it stands.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mezzotint.config import shown
from mezzotint.errors import ConfigError, MissingInputError, RefusedError
from mezzotint.storage.readers import inside, parse_json, read_small
from mezzotint.storage.weights import check_header

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
COPY = "use another copy, from a source you trust"


def refuse_code(folder: Path) -> None:
    """Check that no file below a folder is code, and that none leads out of it.

    Raises:
        RefusedError: one is or does, or there are more files than a model has.
    """
    for count, path in enumerate(folder.rglob("*")):
        if count > MOST_FILES:
            raise RefusedError(f"more than {MOST_FILES:,} files", str(folder), COPY)
        inside(folder, str(path.relative_to(folder)))
        if path.suffix.lower() in CODE:
            raise RefusedError("there is code among the files of a model", str(path), COPY)


def read_mapping(folder: Path, name: str, limit: int = 1 << 20) -> dict[str, Any]:
    """A JSON file that holds a mapping.

    Raises:
        MissingInputError, ConfigError, RefusedError: it is not there, no mapping, or too large.
    """
    path = inside(folder, name)
    found = parse_json(read_small(path, limit), path)
    if not isinstance(found, dict):
        raise ConfigError("not a mapping", str(path), COPY)
    return found


def check_settings(place: Path) -> None:
    """Check that the settings of a part name no code and no sizes that only an attack has.

    Raises:
        RefusedError, ConfigError: one does, or is no mapping.
    """
    for name in SETTINGS:
        if (place / name).is_file():
            refuse_keys(read_mapping(place, name), place / name)
    for name in ("vocab.json", "tokenizer.json"):
        if (place / name).is_file():
            read_mapping(place, name, WORDS_LIMIT)


def refuse_keys(value: Any, path: Path) -> None:
    """Check what was read from JSON, at any depth.

    Raises:
        RefusedError: a key would run code, or a number is out of range.
    """
    for key, item in _pairs(value):
        if key in REFUSED_KEYS or key.startswith(REFUSED_STARTS):
            raise RefusedError(f"'{shown(key)}' would run code", str(path), COPY)
        numbers = item if isinstance(item, list) else [item]
        most = MOST_LAYERS if key in COUNTS else MOST_NUMBER
        whole = [one for one in numbers if isinstance(one, int) and not isinstance(one, bool)]
        if len(numbers) > MOST_LAYERS and key.endswith(("channels", "types")):
            raise RefusedError(f"'{shown(key)}' has {len(numbers):,} entries", str(path), COPY)
        if key not in UNBOUNDED and any(abs(one) > most for one in whole):
            raise RefusedError(f"'{shown(key)}' is out of range", str(path), COPY)


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    items = value.items() if isinstance(value, dict) else ()
    yield from items
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list) else ():
        if isinstance(child, dict | list):
            yield from _pairs(child)


def count_weights(place: Path, half: bool) -> int:
    """Numbers in the weights of a part that are read: of its variant ``fp16``, or of none.

    Raises:
        MissingInputError, DataError, RefusedError: as :func:`check_weights`.
    """
    wanted = "fp16" if half else ""
    files = (path for path in place.glob("*.safetensors") if _variant(path) == wanted)
    kinds = (kind for path in files for kind in check_header(path).values())
    return sum(math.prod(kind.shape) for kind in kinds)


def _variant(path: Path) -> str:
    """``fp16`` of ``model.fp16-00001-of-00002.safetensors``; nothing of ``model.safetensors``."""
    return path.stem.partition(".")[2].partition("-")[0]


def check_weights(place: Path) -> bool:
    """Check the weights of a part; whether they are in half precision only.

    Raises:
        MissingInputError: there are none, or pickles alone.
        DataError, RefusedError: they are damaged or lead elsewhere.
    """
    found = sorted(place.glob("*.safetensors"))
    if not found:
        pickles = [path for kind in ("*.bin", "*.pt", "*.ckpt") for path in place.glob(kind)]
        what = "the weights are a pickle, which could run code" if pickles else "there are none"
        fix = "save the pipeline again with safe_serialization=True"
        raise MissingInputError(what, str(pickles[0] if pickles else place), fix)
    for path in found:
        check_header(inside(place, path.name))
    for path in place.glob("*.index.json"):
        shards = read_mapping(place, path.name).get("weight_map")
        files = set(shards.values()) if isinstance(shards, dict) else {""}
        if not files <= {path.name for path in found}:
            raise RefusedError("shards lead elsewhere", str(path), COPY)
    return all(".fp16" in path.name for path in found)
