"""Dataclass <-> dict <-> ``key=value``: one definition of every option.

A configuration is a frozen dataclass whose fields are made with :func:`option`; its
``__post_init__`` calls :func:`validate`, so Python, files and the command line are checked alike.
"""

import dataclasses
import json
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mezzotint.errors import ConfigError, UsageError, nearest

ConfigT = TypeVar("ConfigT")
MAX_ITEMS = 64
MAX_TEXTS = 100_000  # names of classes
MOST_LETTERS = 24  # of a length of time
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def option(default: Any, help: str, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with its help text and inclusive bounds."""
    return dataclasses.field(default=default, metadata={"help": help, "low": low, "high": high})


def validate(config: Any) -> None:
    """Coerce and check every field of a frozen dataclass in place; for ``__post_init__``.

    Raises:
        ConfigError: a value has the wrong type or lies outside its bounds.
    """
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = coerce(getattr(config, field.name), hints[field.name], field.name)
        _check_bounds(value, field)
        object.__setattr__(config, field.name, value)


def _check_bounds(value: Any, field: "dataclasses.Field[Any]") -> None:
    low, high = field.metadata.get("low"), field.metadata.get("high")
    for number in value if isinstance(value, tuple) else (value,):
        if not isinstance(number, int | float):
            continue
        if (low is not None and not number >= low) or (high is not None and not number <= high):
            raise ConfigError(
                f"{field.name}={shown(value)} is out of range",
                where=field.name,
                fix=f"give a value from {low if low is not None else '-inf'} "
                f"to {high if high is not None else 'inf'}: {field.metadata.get('help', '')}",
            )


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as JSON-able values; tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def from_dict(kind: type[ConfigT], values: Mapping[str, Any], where: str = "") -> ConfigT:
    """Build a configuration from plain values.

    Raises:
        ConfigError: a key is unknown (the message names the nearest one) or a value is wrong.
    """
    names = field_names(kind)
    for key in values:
        if key not in names:
            raise unknown_option(str(key), names, where)
    return kind(**values)


def override(config: ConfigT, values: Mapping[str, Any]) -> ConfigT:
    """A copy of ``config`` with some options replaced; same errors as :func:`from_dict`."""
    return from_dict(type(config), {**_shallow(config), **values})


def field_names(kind: Any) -> list[str]:
    """The option names of a configuration class, in order."""
    return [field.name for field in dataclasses.fields(kind)]


def unknown_option(key: str, names: Iterable[str], where: str = "") -> ConfigError:
    """The error for a key nobody knows."""
    return ConfigError(f"unknown option {shown(key)}", where=where, fix=nearest(key, names))


def shown(value: Any) -> str:
    """A value for a message: short, and printable whatever it holds."""
    text = repr(value) if isinstance(value, int | float | str) else ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def split_options(
    values: Mapping[str, Any], kinds: Mapping[str, Any], where: str = "--set"
) -> dict[str, dict[str, Any]]:
    """Deal flat options out to the configuration class that has a field of that name.

    Raises:
        ConfigError: no class has it.
    """
    parts: dict[str, dict[str, Any]] = {name: {} for name in kinds}
    owners = {field: name for name, kind in kinds.items() for field in field_names(kind)}
    for key, value in values.items():
        if key not in owners:
            raise unknown_option(key, owners, where)
        parts[owners[key]][key] = value
    return parts


def parse_assignments(pairs: Iterable[str]) -> dict[str, str]:
    """``["lr=1e-3", "latent=64"]`` as a mapping of strings.

    Raises:
        ConfigError: a pair has no ``=``.
    """
    values = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.strip():
            raise ConfigError(
                f"{shown(pair)} is not key=value", where="--set", fix="--set lr=0.001"
            )
        values[key.strip().replace("-", "_")] = value.strip()
    return values


def parse_count(text: str | int, where: str = "--images") -> int:
    """``"2M"``, ``"50k"``, ``"1000"`` or an int as a number of images.

    Raises:
        ConfigError: not such a number, or below 1.
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([kKmMgG]?)\s*", str(text))
    count = round(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if count < 1:
        raise ConfigError(f"{shown(text)} is not a number of images", where=where, fix="50k or 2M")
    return count


def parse_seconds(text: str | float, where: str = "--budget") -> float:
    """``"90s"``, ``"10m"``, ``"1h30m"`` or a number of seconds.

    Raises:
        ConfigError: not such a time, or zero.
    """
    words = str(text).strip().lower()
    pieces = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", words[:MOST_LETTERS])
    whole = "".join(number + unit for number, unit in pieces)
    seconds = sum(float(number) * _SECONDS.get(unit, 1) for number, unit in pieces)
    if whole != words or seconds <= 0:
        raise ConfigError(f"{shown(text)} is not a time", where=where, fix="90s, 10m or 1h30m")
    return seconds


def parse_size(value: object, where: str = "size") -> tuple[int, int]:
    """``64``, ``"64"``, ``"48x32"`` (width x height) or ``(height, width)`` as (height, width).

    Raises:
        ConfigError: not a size.
    """
    if isinstance(value, list | tuple) and len(value) == 2:
        return coerce(value[0], int, where), coerce(value[1], int, where)
    match = re.fullmatch(r"(\d{1,6})(?:[xX](\d{1,6}))?", str(value).strip())
    if match is None:
        raise ConfigError(f"{shown(value)} is not a size", where=where, fix="64, or 48x32 (WxH)")
    width, height = int(match[1]), int(match[2] or match[1])
    return height, width


def at_least(low: float, **values: float | None) -> None:
    """Check arguments of a call; None passes, NaN does not.

    Raises:
        UsageError: one is below ``low``.
    """
    for name, value in values.items():
        if value is not None and not value >= low:
            raise UsageError(f"{name}={shown(value)}", where=name, fix=f"give {low:g} or more")


def coerce(value: Any, kind: Any, where: str) -> Any:
    """``value`` as ``kind``; strings are read the way the command line writes them.

    Raises:
        ConfigError: it cannot be read so.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _coerce_union(value, get_args(kind), where)
    if origin is Literal:
        return _coerce_literal(value, get_args(kind), where)
    if origin is tuple:
        return _coerce_tuple(value, get_args(kind), where)
    if kind not in _SCALARS:
        return value
    try:
        return _SCALARS[kind](value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"{where}={shown(value)} is not {_WORDS[kind]}", where=where, fix=f"give {_WORDS[kind]}"
        ) from None


def _coerce_union(value: Any, kinds: tuple[Any, ...], where: str) -> Any:
    if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
        if type(None) in kinds:
            return None
        raise ConfigError(f"{where} needs a value", where=where, fix="leave the option out")
    return coerce(value, next(kind for kind in kinds if kind is not type(None)), where)


def _coerce_literal(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    for choice in choices:
        if value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return choice
        if isinstance(value, str) and value == str(choice):
            return choice
    raise ConfigError(
        f"{where}={shown(value)} is not known", where=where, fix=nearest(str(value), choices)
    )


def _coerce_tuple(value: Any, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [part for part in re.split(r"[,\s]+", value.strip("()[] ")) if part]
    if not isinstance(value, list | tuple):
        value = [value]
    most = MAX_TEXTS if kinds[0] is str else MAX_ITEMS
    if len(value) > most:
        raise ConfigError(
            f"{where} has {len(value)} values", where=where, fix=f"give {most:,} at the most"
        )
    if kinds[-1] is not Ellipsis and len(value) != len(kinds) - kinds.count(Ellipsis):
        raise ConfigError(
            f"{where} needs {len(kinds)} values, got {shown(value)}",
            where=where,
            fix=f"separate {len(kinds)} values with commas",
        )
    wanted = [kinds[0]] * len(value) if kinds[-1] is Ellipsis else kinds
    return tuple(coerce(item, kind, where) for item, kind in zip(value, wanted, strict=True))


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    try:
        return int(value)
    except ValueError:
        number = float(value)
        if not number.is_integer():
            raise
        return int(number)


def _real(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or number != number or number in (float("inf"), float("-inf")):
        raise ValueError(value)
    return number


_TRUTH = {"true": True, "yes": True, "on": True, "1": True}
_TRUTH |= {"false": False, "no": False, "off": False, "0": False}


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() not in _TRUTH:
        raise ValueError(value)
    return _TRUTH[str(value).lower()]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


_SCALARS: dict[Any, Callable[[Any], Any]] = {int: _whole, float: _real, bool: _truth, str: _text}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _shallow(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
