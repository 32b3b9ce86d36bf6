"""Small files from anywhere: plain data or a refusal, never code, never a wait."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.errors import ConfigError, MezzotintError, MissingInputError, RefusedError
from mezzotint.storage.readers import (
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_YAML_BYTES,
    inside,
    load_file,
    parse_json,
    printable,
    read_small,
)

HERE = Path("x.json")
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text()
scalars |= st.floats(allow_nan=False, allow_infinity=False)
trees = st.recursive(scalars, lambda t: st.lists(t) | st.dictionaries(st.text(), t), max_leaves=20)


@given(trees)
def test_json_is_read_as_the_standard_library_does(value: Any) -> None:
    assert parse_json(json.dumps(value), HERE) == value


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_read_or_refused_in_our_words(text: str) -> None:
    found: MezzotintError | None = None
    try:
        parse_json(text, HERE)
    except MezzotintError as error:
        found = error
    assert found is None or (found.where == "x.json" and found.fix)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1, "a": 1}', RefusedError),
        ('[{"b": {"a": 1, "a": 2}}]', RefusedError),
        ("NaN", ConfigError),
        ("[Infinity]", ConfigError),
        ("-Infinity", ConfigError),
        ("1e999", ConfigError),
        ("-1e999", ConfigError),
        ("9" * 5000, ConfigError),
        ("[" * 100_000, RefusedError),
        ('{"a":' * 100_000, RefusedError),
        ("", ConfigError),
        ("{'a': 1}", ConfigError),
        ("[1] [2]", ConfigError),
    ],
)
def test_what_json_may_not_hold(text: str, kind: type[MezzotintError]) -> None:
    with pytest.raises(kind):
        parse_json(text, HERE)


@pytest.mark.parametrize("leaf", ["", "1", '"a"'])
@pytest.mark.parametrize("ends", ["[]", ('{"k":', "}")])
def test_depth_is_counted_in_lists_and_mappings(leaf: str, ends: Any) -> None:
    left, right = ends
    leaf = leaf if left == "[" or leaf else "null"
    deepest = left * MAX_DEPTH + leaf + right * MAX_DEPTH
    parse_json(deepest, HERE)
    with pytest.raises(RefusedError, match="deeper"):
        parse_json(left + deepest + right, HERE)


def test_a_file_of_the_largest_size_is_read_and_no_larger(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * MAX_FILE_BYTES)
    assert len(read_small(path)) == MAX_FILE_BYTES
    path.write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    with pytest.raises(RefusedError, match="larger"):
        read_small(path)


def test_what_is_no_plain_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "none", Path("a\0b")):
        with pytest.raises(MissingInputError):
            read_small(path)


def test_text_must_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("ü".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        read_small(path)


flat = st.dictionaries(
    st.text("abcdefghij_", min_size=1).filter(lambda key: yaml.safe_load(key) == key),
    st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=5),
    max_size=10,
)


@given(flat)
def test_yaml_and_json_say_the_same(tmp_path_factory: pytest.TempPathFactory, values: Any) -> None:
    folder = tmp_path_factory.mktemp("options")
    (folder / "x.json").write_text(json.dumps(values))
    (folder / "x.yaml").write_text(yaml.safe_dump(values))
    assert load_file(folder / "x.json") == load_file(folder / "x.yaml") == values


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a: &x 1\nb: *x", RefusedError),
        ("a: !!python/name:os.system", RefusedError),
        ("a: !mine 1", RefusedError),
        ("a: " + "[" * (MAX_DEPTH + 1), RefusedError),
        ("a: [" + "1," * 12_000 + "1]", RefusedError),
        ("#" * (MAX_YAML_BYTES + 1), RefusedError),
        ("", ConfigError),
        ("just words", ConfigError),
        ("a: [", ConfigError),
        ("a: 1\n\tb: 2", ConfigError),
        ("a: 2020-99-99", ConfigError),
    ],
)
def test_what_yaml_may_not_hold(text: str, kind: type[MezzotintError], tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(kind) as caught:
        load_file(tmp_path / "x.yaml")
    assert "x.yaml" in caught.value.where
    assert "\n" not in caught.value.what


def test_keys_of_a_configuration_are_words(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("2: a\ntrue: b")
    assert load_file(tmp_path / "x.yaml") == {"2": "a", "True": "b"}


@pytest.mark.parametrize(
    "name", ["../x", "../../etc/passwd", "/etc/passwd", "a/../../x", "out", "far", "loop", "a\0b"]
)
def test_what_leads_out_of_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "far").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to("loop")
    with pytest.raises(RefusedError):
        inside(folder, name)


def test_what_stays_in_a_folder_is_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_text("mine")
    (folder / "link").symlink_to("file")
    (tmp_path / "alias").symlink_to(folder)
    for name in ("file", "link", "sub/../file", "not-there", "..config.json"):
        assert inside(folder, name) == folder / name
        assert inside(tmp_path / "alias", name) == tmp_path / "alias" / name


@given(st.text())
def test_printable_text_holds_no_control_characters(text: str) -> None:
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text
