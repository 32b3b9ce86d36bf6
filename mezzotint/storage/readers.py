"""Reading small JSON and YAML files from anywhere as plain data: bounded, strict, never code."""

import json
import math
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mezzotint.errors import ConfigError, MissingInputError, RefusedError

MAX_FILE_BYTES = 1 << 20
MAX_YAML_BYTES = 1 << 16  # a YAML parser is a hundred times slower than a JSON one
MAX_DEPTH = 32
MAX_EVENTS = 10_000
_COPY = "use another copy of the file, from a source you trust"


def load_file(path: Path) -> dict[str, Any]:
    """Read a flat mapping of options from a JSON or YAML file, as data only.

    Raises:
        MissingInputError: there is no such file.
        RefusedError: it is too large, too deep or uses YAML aliases or tags.
        ConfigError: it is not valid or not a mapping.
    """
    values = parse_json(read_small(path), path) if path.suffix == ".json" else _parse_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(
            "a configuration file holds a mapping of options", str(path), "use key: value lines"
        )
    return {str(key): value for key, value in values.items()}


def inside(folder: Path, name: str) -> Path:
    """The path of ``name`` in a folder from anywhere, whether it exists or not.

    A snapshot in the cache of the Hugging Face hub is made of links into the same model's folder of
    the cache, so that these may lead as far as that.

    Raises:
        RefusedError: the name or a link leads out of the folder.
    """
    path = folder / name
    try:
        stays = path.resolve().is_relative_to(_whole(folder).resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name no system takes
        stays = False
    if not stays:
        raise RefusedError(
            "this leads out of its folder", where=str(path), fix="copy the file in place of a link"
        )
    return path


def _whole(folder: Path) -> Path:
    """The folder, or that of the model whose cached snapshot it is part of."""
    for place in (folder, *folder.parents):
        owner = place.parent.parent
        if place.parent.name == "snapshots" and owner.name.startswith("models--"):
            return owner
    return folder


def printable(text: str) -> str:
    """Text from a file as a terminal may show it: control characters are spelt out."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def require_regular(path: Path) -> int:
    """Size in bytes of a plain file; a pipe or device could block or never end.

    Raises:
        MissingInputError: there is no such file, or it is something else.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MissingInputError(
            f"cannot read: {reason}", where=str(path), fix="check the path"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise MissingInputError("not a plain file", where=str(path), fix="name a file")
    return found.st_size


def read_small(path: Path, limit: int = MAX_FILE_BYTES) -> str:
    """Text of a small file.

    Raises:
        MissingInputError: not a readable plain file.
        RefusedError: larger than ``limit`` bytes.
        ConfigError: not UTF-8.
    """
    require_regular(path)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise MissingInputError(
            f"cannot read: {error.strerror}", str(path), "check its permissions"
        ) from error
    if len(content) > limit:
        raise RefusedError(f"larger than {limit} bytes", str(path), _COPY)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8 text", where=str(path), fix="save it as UTF-8") from error


def parse_json(text: str, path: Path) -> Any:
    """JSON as data: unique keys, finite numbers, bounded depth.

    Raises:
        ConfigError: not valid JSON.
        RefusedError: nested too deeply or a key stands twice.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except RecursionError as error:
        raise _too_deep(path) from error
    except _DuplicateKeyError as error:
        raise RefusedError("a key stands twice in one object", str(path), _COPY) from error
    except ValueError as error:
        raise ConfigError(f"not valid JSON: {error}", str(path), _COPY) from error
    _check_depth(value, path)
    return value


class _DuplicateKeyError(ValueError):
    pass


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise _DuplicateKeyError
    return mapping


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _no_constant(digits)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name[:40]} is not a finite number")


def _parse_yaml(path: Path) -> Any:
    import yaml

    text = read_small(path, MAX_YAML_BYTES)
    try:
        _check_events(yaml.parse(text, yaml.SafeLoader), path)
        value = yaml.safe_load(text)
    except yaml.constructor.ConstructorError as error:
        detail = f"not plain data: {error.problem}"
        raise RefusedError(detail, where=str(path), fix="use key: value lines") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"not valid YAML: {reason}", place, "use key: value lines") from error
    return value


def _check_events(events: Any, path: Path) -> None:
    """Refuse aliases, depth and sheer number before anything is built of the text."""
    import yaml

    depth = 0
    for count, event in enumerate(events):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise RefusedError(
                "YAML aliases are not accepted", where=str(path), fix="write the value out"
            )
        if depth > MAX_DEPTH:
            raise _too_deep(path)
        if count > MAX_EVENTS:
            raise RefusedError("more values than any configuration has", str(path), _COPY)


def _check_depth(value: Any, path: Path) -> None:
    level = _collections([value])
    for _ in range(MAX_DEPTH):
        level = _collections(child for node in level for child in node)
        if not level:
            return
    raise _too_deep(path)


def _collections(nodes: Iterable[Any]) -> list[Iterable[Any]]:
    """The items of each list and the values of each mapping among ``nodes``."""
    return [
        node.values() if isinstance(node, dict) else node
        for node in nodes
        if isinstance(node, dict | list)
    ]


def _too_deep(path: Path) -> RefusedError:
    return RefusedError(f"nested deeper than {MAX_DEPTH} levels", str(path), _COPY)
