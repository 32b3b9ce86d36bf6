"""The record inside a PNG comes back as written, and foreign or hostile text does no harm."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from zoo_writers import png, png_chunk

from mezzotint.errors import DataError, MissingInputError, StorageError
from mezzotint.images import save_image
from mezzotint.imaging.provenance import MAX_TEXT, parameters_line, read_provenance

PICTURE = np.random.default_rng(1).integers(0, 256, (8, 12, 3), dtype=np.uint8)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text("klmno", min_size=1, max_size=8), _JSON, max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_record_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("record") / "a.png"
    found = read_provenance(save_image(path, PICTURE, metadata))
    found.pop("parameters", None)
    assert found == {"schema": 1, "size": "12x8", **metadata}


def test_galleries_find_the_line_they_know(tmp_path: Path) -> None:
    made = {
        "prompt": "a łódź, at sea",
        "negative": "fog",
        "steps": np.int64(20),
        "sampler": "ddim, eta 0",
        "guidance": 3.5,
        "seed": 7,
        "model": "m",
    }
    path = save_image(tmp_path / "a.png", PICTURE, made)
    with Image.open(path) as image:
        text = image.text  # type: ignore[attr-defined]
    assert text["parameters"] == (
        "a łódź, at sea\nNegative prompt: fog\n"
        'Steps: 20, Sampler: "ddim, eta 0", CFG scale: 3.5, Seed: 7, Size: 12x8, Model: m'
    )
    assert json.loads(text["mezzotint"])["steps"] == 20
    assert parameters_line({}) == ""


def test_a_record_too_long_is_shortened_and_says_so(tmp_path: Path) -> None:
    made = {"seed": 1, "prompt": "x" * MAX_TEXT, "model": "m"}
    path = save_image(tmp_path / "a.png", PICTURE, made)
    found = read_provenance(path)
    assert (found["seed"], found["left_out"]) == (1, ["prompt", "model"])
    assert path.stat().st_size < MAX_TEXT + 2000
    for bad in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises(ValueError, match=r"JSON"):
            save_image(tmp_path / "b.png", PICTURE, bad)
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("kind", "payload", "found"),
    [
        (b"tEXt", b"parameters\0Steps: 1", {"parameters": "Steps: 1"}),
        (b"zTXt", b"parameters\0\0" + zlib.compress(b"old"), {"parameters": "old"}),
        (b"iTXt", b'mezzotint\0\0\0\0\0{"seed": 3}', {"seed": 3}),
        (b"iTXt", b"mezzotint\0\1\0\0\0" + zlib.compress(b'{"seed": 3}'), {"seed": 3}),
        (b"iTXt", b"mezzotint\0\1\0\0\0" + zlib.compress(bytes(9 << 20)), {}),
        (b"zTXt", b"parameters\0\0not zlib", {}),
        (b"iTXt", b"mezzotint\0\0", {}),
        (b"iTXt", b"mezzotint", {}),
        (b"iTXt", b"mezzotint\0\0\0\0\0" + b"[" * 200_000, {}),
        (b"iTXt", b"mezzotint\0\0\0\0\0[1]", {}),
        (b"iTXt", b'mezzotint\0\0\0\0\0{"a": "\\ud800"}', {}),
        (b"iTXt", b"mezzotint\0\0\0\0\0" + b"9" * 9999, {}),
        (b"tEXt", b"mezzotint\0" + bytes(2 << 20), {}),
        (b"tEXt", b"", {}),
    ],
)
def test_hostile_text_is_passed_over(
    tmp_path: Path, kind: bytes, payload: bytes, found: dict[str, Any]
) -> None:
    for index, chunks in enumerate(([(kind, payload)], [(kind, payload)] * 500)):
        path = tmp_path / f"{index}.png"
        path.write_bytes(png(PICTURE, 8, 2, chunks if len(payload) < 9999 else chunks[:1]))
        assert read_provenance(path) == found


@given(st.binary(max_size=200), st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"IHDR"]))
@settings(max_examples=100, deadline=None)
def test_any_bytes_in_a_text_chunk_are_survived(
    tmp_path_factory: pytest.TempPathFactory, payload: bytes, kind: bytes
) -> None:
    path = tmp_path_factory.mktemp("text") / "a.png"
    start = b"mezzotint\0" if len(payload) % 2 else b""
    good = png(PICTURE, 8, 2)
    path.write_bytes(good[:33] + png_chunk(kind, start + payload) + good[33:])
    assert isinstance(read_provenance(path), dict)
    path.write_bytes(good[:33] + struct.pack(">I", len(payload) + 2**31) + kind + payload)
    assert read_provenance(path) == {}


def test_what_is_no_png_is_an_error_with_a_code(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="not a PNG"):
        read_provenance(tmp_path / "a.png")
    with pytest.raises(MissingInputError):
        read_provenance(tmp_path / "none.png")
    with pytest.raises(StorageError):
        read_provenance(tmp_path)
