"""Tensors on disk: what is written comes back, and the header check agrees with safetensors."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor, nn

from mezzotint.errors import (
    CannotCreateError,
    DataError,
    MezzotintError,
    MissingInputError,
    RefusedError,
)
from mezzotint.families.vae import VAE
from mezzotint.storage.weights import (
    Kind,
    check_header,
    kinds_of,
    load_into,
    load_tensors,
    require_fit,
    save_tensors,
)

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32)
DTYPES += (torch.int16, torch.int8, torch.uint8, torch.bool)


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Tensor]:
    """A few tensors of any accepted kind, empty and scalar ones among them."""
    names = draw(st.lists(st.text(min_size=1, max_size=8), max_size=5, unique=True))
    names = [name for name in names if name != "__metadata__" and _encodes(name)]
    shapes = st.lists(st.integers(0, 4), max_size=4)
    return {
        name: torch.randint(0, 2, draw(shapes)).to(draw(st.sampled_from(DTYPES))) for name in names
    }


def _encodes(name: str) -> bool:
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in name)


@given(tensors())
def test_tensors_come_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, given_tensors: dict[str, Tensor]
) -> None:
    path = tmp_path_factory.mktemp("weights") / "x.safetensors"
    save_tensors(path, given_tensors)
    found = load_tensors(path)
    assert found.keys() == given_tensors.keys()
    for name, tensor in given_tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@given(tensors())
def test_the_header_check_agrees_with_safetensors(
    tmp_path_factory: pytest.TempPathFactory, given_tensors: dict[str, Tensor]
) -> None:
    path = tmp_path_factory.mktemp("weights") / "x.safetensors"
    save_tensors(path, given_tensors)
    found = check_header(path)
    assert found == kinds_of(given_tensors)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == found.keys()
        for name in found:
            assert tuple(file.get_slice(name).get_shape()) == found[name].shape


@given(st.data())
def test_a_damaged_file_never_loads_wrongly(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One byte of the header changed: the same tensors, other numbers of the same, or our error."""
    path = tmp_path_factory.mktemp("weights") / "x.safetensors"
    save_tensors(path, {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)})
    content = bytearray(path.read_bytes())
    length = struct.unpack("<Q", content[:8])[0]
    at = data.draw(st.integers(0, 8 + length - 1))
    content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = load_tensors(path)
    except MezzotintError:
        return
    assert sum(tensor.numel() * tensor.element_size() for tensor in found.values()) == 32


@given(st.integers(0, 200))
def test_a_truncated_file_is_damaged(tmp_path_factory: pytest.TempPathFactory, kept: int) -> None:
    path = tmp_path_factory.mktemp("weights") / "x.safetensors"
    save_tensors(path, {"a": torch.zeros(20, 3)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError):
        load_tensors(path)


def write(path: Path, header: Any, size: int) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(size))
    return path


def entry(shape: list[Any], start: Any, stop: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


HOSTILE: list[tuple[Any, int]] = [
    ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12),
    ({"a": entry([2], 4, 12)}, 12),
    ({"a": entry([2], 0, 8), "b": entry([2], 12, 20)}, 20),
    ({"a": entry([3], 0, 8)}, 8),
    ({"a": entry([1 << 32, 1 << 32], 0, 0)}, 0),
    ({"a": entry([-2], 0, -8)}, 0),
    ({"a": entry([2.0], 0, 8)}, 8),
    ({"a": entry(["2"], 0, 8)}, 8),
    ({"a": entry([True, 2], 0, 8)}, 8),
    ({"a": entry([1] * 100, 0, 4)}, 4),
    ({"a": entry([2], 0, 8, "PICKLE")}, 8),
    ({"a": entry([2], 0, 8, ["F32"])}, 8),
    ({"a": {**entry([2], 0, 8), "code": "x"}}, 8),
    ({"a": [2]}, 8),
    ({"a": None}, 8),
    ({"a": {"dtype": "F32", "shape": {}, "data_offsets": [0, 4]}}, 4),
    (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":1}', 4),
    ([], 0),
]


@pytest.mark.parametrize(("header", "size"), HOSTILE)
def test_a_hostile_header_is_refused(header: Any, size: int, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        load_tensors(write(tmp_path / "x.safetensors", header, size))
    assert caught.value.where.endswith("x.safetensors")
    assert caught.value.fix


def test_bytes_after_the_tensors_are_damage(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="12 bytes"):
        load_tensors(write(tmp_path / "x.safetensors", {"a": entry([2], 0, 8)}, 12))


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        load_tensors(tmp_path / "none.safetensors")
    with pytest.raises(MissingInputError):
        load_tensors(tmp_path)


def test_a_file_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreateError):
        save_tensors(tmp_path / "file" / "x.safetensors", {"a": torch.zeros(1)})


def test_load_into_copies_every_tensor_bit_for_bit(tmp_path: Path) -> None:
    one, other = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(2))
    save_tensors(tmp_path / "x", one.state_dict())
    load_into(other, load_tensors(tmp_path / "x"), tmp_path)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize(
    "change",
    [
        {"weight": Kind((3, 4), True)},
        {"weight": Kind((12,), True)},
        {"weight": Kind((4, 3), False)},
        {"more": Kind((1,), True)},
        {"bias": None},
    ],
)
def test_tensors_must_be_those_of_the_module(change: dict[str, Kind | None]) -> None:
    module = nn.Linear(3, 4)
    kinds = {**kinds_of(module.state_dict()), **change}
    fitting = {name: kind for name, kind in kinds.items() if kind is not None}
    require_fit(module, kinds_of(module.state_dict()), Path("x"))
    with pytest.raises(DataError, match=f"first '{next(iter(change))}'"):
        require_fit(module, fitting, Path("x"))


def test_half_precision_weights_are_welcome(tmp_path: Path) -> None:
    model = VAE(size=16, widths=(4,), latent=2)
    model.save_pretrained(tmp_path)
    halves = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_tensors(tmp_path / "model.safetensors", halves)
    again = VAE.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(again[name], tensor.float()) for name, tensor in halves.items())


def test_a_wrong_configuration_allocates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison is made on the meta device: no parameter of the large model ever exists."""
    VAE(size=16, widths=(4,), latent=2).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "widths": [8192, 8192, 8192]}))
    made: list[str] = []
    register = nn.Module.register_parameter

    def spy(self: nn.Module, name: str, value: nn.Parameter | None) -> None:
        made.append("none" if value is None else value.device.type)
        register(self, name, value)

    monkeypatch.setattr(nn.Module, "register_parameter", spy)
    with pytest.raises(DataError):
        VAE.from_pretrained(tmp_path)
    assert set(made) <= {"meta", "none"}
    assert "meta" in made
