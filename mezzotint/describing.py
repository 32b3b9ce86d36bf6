"""What a path or this installation is, as plain data."""

import dataclasses
import importlib.util
import os
import platform
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mezzotint.config import from_dict, to_dict
from mezzotint.errors import MissingInputError
from mezzotint.families import FAMILIES, diffusion_sizes, family_class
from mezzotint.families.base import read_model_config
from mezzotint.imaging.provenance import read_provenance
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.hub import located
from mezzotint.runs.loading import known_family, require_contained
from mezzotint.runs.pipelines import is_pipeline, read_pipeline
from mezzotint.runs.pretrained import is_text_pipeline
from mezzotint.runs.safe_pipelines import look_through
from mezzotint.training.plans import MEASURED, versions
from mezzotint.training.recipe import Recipe

EXTRAS = {"hf": "datasets", "tensorboard": "tensorboard"}
SIZED: dict[str, Callable[[], list[dict[str, Any]]]] = {"diffusion": diffusion_sizes.rows}
"""Families whose options follow the size of the images -> the table that says how."""
_OFFERED = ("size", "channels")  # of what is read off the data
_KINDS = {int: "whole", float: "number", bool: "flag", str: "text"}


def describe(path: str | Path) -> dict[str, Any]:
    """What a run, model, pack, picture or family is.

    Args:
        path: a folder, a PNG, or the name of a family.

    Returns:
        JSON-able; ``is`` says which of ``run``, ``model``, ``pipeline``, ``pack``, ``picture`` and
        ``family``.

    Raises:
        MissingInputError: nothing known is there.
        ConfigError, RefusedError: it is damaged or made by a newer version.
    """
    place = located(path)
    if str(path) in FAMILIES and not place.exists():
        return describe_family(str(path))
    if (place / "run.json").is_file():
        return _describe_run(RunFolder(place))
    if (place / "config.json").is_file():
        return _describe_model(place)
    if is_pipeline(place) and is_text_pipeline(place):
        parts = look_through(place)
        return {"is": "pipeline", "path": str(place), "class": parts.pipeline, **parts.classes}
    if is_pipeline(place):
        return {"is": "pipeline", "path": str(place), **to_dict(read_pipeline(place).config)}
    if (place / "images.npy").is_file():
        return _describe_pack(place)
    if place.is_file() and place.suffix.lower() == ".png":
        return {"is": "picture", "path": str(place), **read_provenance(place)}
    raise MissingInputError(
        "no run, model, pack or picture of mezzotint here",
        where=str(place),
        fix=f"name one of those, or a family: {', '.join(FAMILIES)}",
    )


def _describe_model(place: Path) -> dict[str, Any]:
    config = read_model_config(place)
    name = config.pop("kind")
    settled: Any = from_dict(known_family(name, place).config_class, config, where=str(place))
    return {"is": "model", "path": str(place), "kind": name, **to_dict(settled)}


def _describe_run(run: RunFolder) -> dict[str, Any]:
    require_contained(run)
    header, lines = run.header(), run.lines()
    facts = {
        "is": "run",
        "path": str(run.path),
        "status": run.status(),
        "images_seen": lines[-1].get("images", 0) if lines else 0,
        "last": lines[-1] if lines else {},
    }
    return {**facts, **{name: value for name, value in header.items() if name not in facts}}


def _describe_pack(place: Path) -> dict[str, Any]:
    from mezzotint.data.store import load_images

    images = load_images(place)
    return {"is": "pack", "path": str(place), "facts": images.describe(), "images": len(images)}


def describe_family(name: str) -> dict[str, Any]:
    """Options, defaults and presets of a family.

    Raises:
        UsageError: there is no such family.
    """
    kind = family_class(name)
    options = {"model": _options(kind.config_class), "training": _options(Recipe)}
    by_size = {"by size": SIZED[name]()} if name in SIZED else {}
    return {"is": "family", "name": name, **options, "presets": dict(kind.presets), **by_size}


def describe_form(name: str) -> dict[str, Any]:
    """A family's options and those of training as a form shows them.

    Returns:
        ``options``: name, ``of`` model or training, kind, default, help, bounds, choices; what is
        read off the data has no default. ``presets``: name -> options.

    Raises:
        UsageError: there is no such family.
    """
    kind = family_class(name)
    training = [_field("training", Recipe, field) for field in dataclasses.fields(Recipe)]
    taken = (set(MEASURED) - {*_OFFERED}) | {told["name"] for told in training}
    fields = [field for field in dataclasses.fields(kind.config_class) if field.name not in taken]
    model = [_field("model", kind.config_class, field) for field in fields]
    presets = {preset: dict(options) for preset, options in kind.presets.items()}
    return {"family": name, "options": [*model, *training], "presets": presets}


def _field(part: str, config: Any, field: Any) -> dict[str, Any]:
    hint = get_type_hints(config)[field.name]
    inner = [one for one in get_args(hint) if one is not type(None)]
    union = get_origin(hint) in (Union, types.UnionType)
    kind, measured = inner[0] if union else hint, field.name in MEASURED
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    told = {"name": field.name, "of": part, "default": None if measured else default}
    told |= {"optional": union or measured}
    told |= {key: field.metadata.get(key) for key in ("help", "low", "high")}
    if get_origin(kind) is Literal:
        return {**told, "kind": "choice", "choices": list(get_args(kind))}
    if get_origin(kind) is tuple:
        return {**told, "kind": "list"}
    return {**told, "kind": _KINDS.get(kind, "text")}


def _options(kind: Any) -> dict[str, dict[str, Any]]:
    return {
        field.name: {"default": field.default, "help": field.metadata.get("help", "")}
        for field in dataclasses.fields(kind)
    }


def environment() -> dict[str, Any]:
    """Versions, devices, optional packages and settings, for bug reports."""
    import torch

    from mezzotint.data.cache import cache_home

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "versions": versions(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": cuda or "none",
        "extras": {
            name: "installed" if importlib.util.find_spec(package) else "missing"
            for name, package in EXTRAS.items()
        },
        "cache": str(cache_home()),
        "settings": {k: v for k, v in sorted(os.environ.items()) if k.startswith("MEZZOTINT_")},
    }
