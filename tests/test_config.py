"""Options: the same value in Python, JSON and on the command line, and errors that help."""

import contextlib
import dataclasses
import json
import string
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.config import (
    MAX_ITEMS,
    at_least,
    field_names,
    from_dict,
    option,
    override,
    parse_assignments,
    parse_count,
    parse_seconds,
    parse_size,
    shown,
    split_options,
    to_dict,
    validate,
)
from mezzotint.errors import ConfigError, UsageError
from mezzotint.families import FAMILIES, family_class
from mezzotint.families.autoencoder import AutoencoderConfig
from mezzotint.families.vae import VAEConfig
from mezzotint.training.recipe import Recipe


@dataclass(frozen=True)
class Options:
    """One option of every type."""

    whole: int = option(1, "a whole number", low=-5, high=10)
    real: float = option(0.5, "a number", low=0)
    flag: bool = option(False, "yes or no")
    text: str = option("", "words")
    choice: Literal["left", "right", 3] = option("left", "one of them")
    maybe: int | None = option(None, "a number or none", low=1)
    pair: tuple[float, float] = option((0.0, 1.0), "two numbers", low=0, high=1)
    many: tuple[int, ...] = option((), "any number of them", low=1, high=9)

    def __post_init__(self) -> None:
        validate(self)


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


options = st.builds(
    Options,
    whole=st.integers(-5, 10),
    real=floats(0, 1e300),
    flag=st.booleans(),
    text=st.text(),
    choice=st.sampled_from(["left", "right", 3]),
    maybe=st.none() | st.integers(1, 10**30),
    pair=st.tuples(floats(0, 1), floats(0, 1)),
    many=st.lists(st.integers(1, 9), max_size=MAX_ITEMS).map(tuple),
)
widths = st.lists(st.integers(1, 8192), max_size=3).map(tuple)
coders = {
    "size": st.tuples(st.integers(8, 1024), st.integers(8, 1024)),
    "channels": st.sampled_from([1, 3, 4]),
    "latent": st.integers(1, 65536),
    "spatial": st.booleans(),
    "widths": widths,
    "blocks": st.integers(0, 16),
}
real_configs = st.one_of(
    st.builds(VAEConfig, **coders, beta=floats(0, 1e4), beta_warmup=floats(0, 1)),
    st.builds(AutoencoderConfig, **coders, noise=floats(0, 4), loss=st.sampled_from(["l1", "mse"])),
    st.builds(
        Recipe, images=st.none() | st.integers(1, 10**9), lr=floats(0, 10), flip=st.booleans()
    ),
)


@given(st.one_of(options, real_configs))
def test_a_configuration_survives_json(config: Any) -> None:
    text = json.dumps(to_dict(config), allow_nan=False)
    assert from_dict(type(config), json.loads(text)) == config


def spelt(value: Any) -> str:
    """A value as a user types it."""
    return ",".join(map(spelt, value)) if isinstance(value, tuple) else str(value)


@given(st.one_of(options, real_configs))
def test_a_configuration_survives_the_command_line(config: Any) -> None:
    values = {name: getattr(config, name) for name in field_names(type(config))}
    values = {k: v for k, v in values.items() if k not in ("text", "size") and v != ()}
    pairs = [f"{name}={spelt(value)}" for name, value in values.items()]
    again = from_dict(type(config), parse_assignments(pairs))
    assert {name: getattr(again, name) for name in values} == values


@given(options, st.integers(-5, 10))
def test_override_changes_one_option_and_no_other(config: Options, whole: int) -> None:
    changed = override(config, {"whole": whole})
    assert changed == dataclasses.replace(config, whole=whole)
    assert isinstance(changed.many, tuple)


@pytest.mark.parametrize(
    ("typed", "meant"), [("whoel", "whole"), ("reel", "real"), ("mayb", "maybe"), ("pairs", "pair")]
)
def test_an_unknown_option_names_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(ConfigError, match="unknown option") as caught:
        from_dict(Options, {typed: 1}, where="options.yaml")
    assert caught.value.fix == f"did you mean '{meant}'?"
    assert caught.value.where == "options.yaml"
    with pytest.raises(ConfigError):
        override(Options(), {typed: 1})


def test_an_option_like_no_other_lists_them_all() -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Options, {"zzzzzz": 1})
    assert all(name in caught.value.fix for name in field_names(Options))


GOOD: list[tuple[str, Any, Any]] = [
    ("whole", "7", 7),
    ("whole", 7.0, 7),
    ("whole", "1e1", 10),
    ("whole", -5, -5),
    ("whole", 10, 10),
    ("real", "1e-3", 0.001),
    ("real", 2, 2.0),
    ("flag", "yes", True),
    ("flag", "OFF", False),
    ("flag", 1, True),
    ("choice", "3", 3),
    ("maybe", "none", None),
    ("maybe", "Null", None),
    ("maybe", "12", 12),
    ("pair", "0.5,0.75", (0.5, 0.75)),
    ("pair", "(0.5 0.75)", (0.5, 0.75)),
    ("pair", [0, 1], (0.0, 1.0)),
    ("many", "[1, 2,3]", (1, 2, 3)),
    ("many", "4", (4,)),
    ("many", 4, (4,)),
    ("many", "", ()),
]
BAD: list[tuple[str, Any]] = [
    *(("whole", bad) for bad in ("x", "", 1.5, "1.5", True, None, "none", 11, -6, [1], "1e999")),
    *(("real", bad) for bad in ("nan", float("inf"), "-1", -0.1, True, {}, "9" * 400)),
    *(("flag", bad) for bad in ("maybe", 2, None, [])),
    *(("text", bad) for bad in (1, None, b"x", ["x"])),
    *(("choice", bad) for bad in ("up", 4, True, None, ["left"])),
    *(("maybe", bad) for bad in (0, "zero", 1.5)),
    *(("pair", bad) for bad in ("1", "1,1,1", [0, 2], [0, "x"], {}, None, [0, None])),
    *(("many", bad) for bad in ("1,x", [0], [10], [1] * (MAX_ITEMS + 1), "1.5", {"a": 1})),
]


@pytest.mark.parametrize(("name", "given_value", "expected"), GOOD)
def test_values_are_read_as_people_write_them(name: str, given_value: Any, expected: Any) -> None:
    found = getattr(Options(**{name: given_value}), name)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_wrong_value_names_its_option_and_a_way_out(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Options(**{name: value})
    assert caught.value.where == name
    assert caught.value.fix
    assert caught.value.exit_code == 78


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_any_value_is_taken_or_refused_in_our_words(value: Any) -> None:
    for name in field_names(Options):
        with contextlib.suppress(ConfigError):
            Options(**{name: value})


@pytest.mark.parametrize("channels", [0, 2, 5, True])
def test_images_have_one_three_or_four_channels(channels: int) -> None:
    with pytest.raises(ConfigError, match="channels"):
        VAEConfig(channels=channels)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "most"), [(8, 4), (28, 5), (32, 6), (64, 7), (1024, 11)])
def test_stages_are_bounded_by_the_image(size: int, most: int) -> None:
    VAEConfig(size=(size, 8), widths=(1,) * most)
    with pytest.raises(ConfigError, match="widths"):
        VAEConfig(size=(size, 8), widths=(1,) * (most + 1))
    VAEConfig(size=(size, 8), widths=(1,) * (most + 1), network="mlp")


@pytest.mark.parametrize(
    ("text", "count"),
    [("1", 1), (" 50k ", 50_000), ("2M", 2_000_000), ("1.5m", 1_500_000), ("007", 7)],
)
def test_counts(text: str, count: int) -> None:
    assert parse_count(text) == count
    assert Recipe(images=text).images == count  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "0", "-1", "k", "1kk", "1e3", "ten", "0.0001k", "9" * 400])
def test_no_counts(text: str) -> None:
    with pytest.raises(ConfigError, match="number of images"):
        parse_count(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5H", 5400), ("2d", 172_800), (0.5, 0.5)],
)
def test_times(text: str | float, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "soon", "-5m", "10 minutes", "1h-1m", "9" * 99])
def test_no_times(text: str) -> None:
    with pytest.raises(ConfigError, match="not a time"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("value", "size"),
    [(64, (64, 64)), ("64", (64, 64)), ("48X32", (32, 48)), (["32", 48.0], (32, 48))],
)
def test_sizes_are_width_by_height_in_words_and_height_first_in_pairs(
    value: object, size: tuple[int, int]
) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize(
    "value", ["", "x", "64x", "6 4", "-1", "1x2x3", [1], [1, 2, 3], ["a", 1], None, 1.5, "9" * 5000]
)
def test_no_sizes(value: object) -> None:
    with pytest.raises(ConfigError):
        parse_size(value)


names = st.text(string.ascii_letters + "_-", min_size=1)


@given(st.dictionaries(names, st.text().map(str.strip)))
def test_assignments_keep_what_stands_after_the_first_sign(values: dict[str, str]) -> None:
    found = parse_assignments(f"{name}={value}" for name, value in values.items())
    assert found == {name.replace("-", "_"): value for name, value in values.items()}


@pytest.mark.parametrize("pair", ["", "lr", "=1", " =1"])
def test_no_assignments(pair: str) -> None:
    with pytest.raises(ConfigError, match="key=value"):
        parse_assignments([pair])


def test_options_are_dealt_to_the_class_that_has_them() -> None:
    kinds = {"model": VAEConfig, "recipe": Recipe}
    parts = split_options({"latent": 3, "lr": 1, "images": "2k"}, kinds)
    assert parts == {"model": {"latent": 3}, "recipe": {"lr": 1, "images": "2k"}}
    with pytest.raises(ConfigError, match="latnt") as caught:
        split_options({"latnt": 3}, kinds)
    assert caught.value.fix == "did you mean 'latent'?"


@pytest.mark.parametrize("family", FAMILIES)
def test_no_option_belongs_to_model_and_training(family: str) -> None:
    own = field_names(family_class(family).config_class)
    assert not set(own) & set(field_names(Recipe))


@given(st.text() | st.integers() | st.binary() | st.lists(st.text()))
def test_values_in_messages_are_short_and_printable(value: Any) -> None:
    assert len(shown(value)) <= 80
    assert shown(value).isprintable()


@pytest.mark.parametrize("value", [-1, 0.9, float("nan"), float("-inf")])
def test_at_least(value: float) -> None:
    at_least(1, a=1, b=2.5, c=None)
    with pytest.raises(UsageError, match="count="):
        at_least(1, count=value)
