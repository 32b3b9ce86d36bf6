"""Reading small JSON and YAML files from anywhere as plain data: bounded, strict, never code."""

import json
from pathlib import Path
from typing import Any

from mezzotint.errors import ConfigError, MissingInputError, RefusedError

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 32


def load_file(path: Path) -> dict[str, Any]:
    """Read a flat mapping of options from a JSON or YAML file, as data only.

    Raises:
        MissingInputError: there is no such file.
        RefusedError: it is too large, too deep or uses YAML aliases or tags.
        ConfigError: it is not valid or not a mapping.
    """
    values = parse_json(read_small(path), path) if path.suffix == ".json" else _parse_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError("a configuration file holds a mapping of options", where=str(path))
    return {str(key): value for key, value in values.items()}


def read_small(path: Path, limit: int = MAX_FILE_BYTES) -> str:
    """Text of a small file.

    Raises:
        MissingInputError: not a readable file.
        RefusedError: larger than ``limit`` bytes.
        ConfigError: not UTF-8.
    """
    try:
        if path.stat().st_size > limit:
            raise RefusedError(f"larger than {limit} bytes", where=str(path))
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingInputError(f"cannot read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8 text", where=str(path)) from error


def parse_json(text: str, path: Path) -> Any:
    """JSON as data: unique keys, finite numbers, bounded depth.

    Raises:
        ConfigError: not valid JSON.
        RefusedError: nested too deeply or a key stands twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not valid JSON: {error}", where=str(path)) from error
    _check_depth(value, path)
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return mapping


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _parse_yaml(path: Path) -> Any:
    import yaml

    text = read_small(path)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise RefusedError("YAML aliases are not accepted", where=str(path))
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"not valid YAML: {error}", where=str(path)) from error
    _check_depth(value, path)
    return value


def _check_depth(value: Any, path: Path) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise RefusedError(f"nested deeper than {MAX_DEPTH} levels", where=str(path))


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
