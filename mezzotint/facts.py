"""What a command has found out, for people and for programs."""

import json
from collections.abc import Mapping
from typing import Any

from mezzotint.storage.readers import printable

LISTED = 100  # items of a list that people are shown


def print_facts(facts: Mapping[str, Any], as_json: bool) -> None:
    """Print facts as lines, two spaces a level, or as JSON."""
    if as_json:
        print_json(facts)
    else:
        print("\n".join(_indented(facts)))


def print_json(value: Any) -> None:
    """Print a value as JSON; what JSON does not know as text."""
    print(json.dumps(value, indent=2, default=str))


def _indented(value: Any, depth: int = 0) -> list[str]:
    """Nested facts as lines, two spaces a level."""
    space = "  " * depth
    if isinstance(value, Mapping):
        lines = []
        for key, part in value.items():
            deep = isinstance(part, Mapping | list) and part
            lines += [f"{space}{key}:", *_indented(part, depth + 1)] if deep else [
                f"{space}{key}: {_short(part)}"
            ]  # fmt: skip
        return lines
    lines = [line for part in value[:LISTED] for line in _item(part, space, depth)]
    more = len(value) - LISTED
    return [*lines, f"{space}- and {more:,} more; --json has all"] if more > 0 else lines


def _item(part: Any, space: str, depth: int) -> list[str]:
    return _indented(part, depth + 1) if isinstance(part, Mapping) else [f"{space}- {_short(part)}"]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None or value in ({}, [], ()) else printable(str(value))
