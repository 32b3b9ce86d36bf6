"""Tensors on disk: safetensors only, the header checked before anything trusts it."""

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mezzotint.errors import DataError, MezzotintError, MissingInputError, RefusedError
from mezzotint.storage import faults
from mezzotint.storage.files import storing, sync_folder
from mezzotint.storage.readers import parse_json, require_regular

MAX_HEADER_BYTES = 10 << 20
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 16
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
_BYTES |= {"U8": 1, "BOOL": 1}
_FLOATING = ("F64", "F32", "F16", "BF16")


class Kind(NamedTuple):
    """What a tensor is before its numbers are read.

    Attributes:
        shape: its sides.
        floating: whether it holds real numbers, not whole ones.
    """

    shape: tuple[int, ...]
    floating: bool


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors and make them durable; the file is written in place.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with storing(path):
        try:
            save_file(plain, path, metadata={"format": "pt"})
        except SafetensorError as error:
            raise _as_os_error(error) from error
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def replace_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Replace a file of tensors as one step; the old content stays if it cannot be written.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_tensors(temporary, tensors)
        with storing(path):
            faults.point("tensors.rename")
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def first_non_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with a NaN or an infinity in it."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            return name
    return None


def _as_os_error(error: SafetensorError) -> OSError:
    """safetensors reports a failed write as text; find the system's own number in it."""
    import errno
    import re

    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]) if number else errno.EIO, str(error))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a file onto the CPU.

    Raises:
        MissingInputError: there is no such file.
        RefusedError: the header is hostile (too large, duplicate keys, impossible shapes).
        DataError: the file is damaged.
    """
    check_header(path)
    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise _damaged(path, str(error)) from error


def load_number(path: Path, name: str) -> float | None:
    """A single number, whole or not, among the tensors of a file; None where there is none.

    The other tensors are not read.

    Raises:
        MissingInputError, RefusedError, DataError: as :func:`load_tensors`.
    """
    found = check_header(path).get(name)
    if found is None or found.shape != ():
        return None
    with safe_open(path, "pt") as file:
        return float(file.get_tensor(name)) if found.floating else int(file.get_tensor(name))


def check_header(path: Path) -> dict[str, Kind]:
    """Check size, keys, dtypes, shapes and offsets of a safetensors header against the file.

    Returns:
        Name of each tensor -> its shape and kind of numbers.

    Raises:
        MissingInputError, RefusedError, DataError: as :func:`load_tensors`.
    """
    total = require_regular(path)
    header = _read_header(path)
    entries = _parse(header, path)
    spans = {name: _span(name, entry, path) for name, entry in entries.items()}
    _check_spans(sorted(spans.values()), total - 8 - len(header), path)
    return {name: _kind(entry) for name, entry in entries.items()}


def _read_header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
            if length > MAX_HEADER_BYTES:
                raise _refused(path, "the header is larger than any real one")
            header = file.read(max(length, 0))
    except OSError as error:
        raise MissingInputError(
            f"cannot read: {error.strerror}", str(path), "check its permissions"
        ) from error
    if length < 2 or len(header) != length:
        raise _damaged(path, "the header is cut off")
    return header


def _parse(header: bytes, path: Path) -> dict[str, Any]:
    try:
        entries = parse_json(header.decode(), path)
    except RefusedError:
        raise
    except (MezzotintError, UnicodeDecodeError) as error:
        raise _damaged(path, "the header is not valid JSON") from error
    if not isinstance(entries, dict) or len(entries) > MAX_TENSORS:
        raise _refused(path, "the header does not describe tensors")
    entries.pop("__metadata__", None)
    return entries


def _check_spans(spans: list[tuple[int, int]], size: int, path: Path) -> None:
    position = 0
    for start, stop in spans:
        if start != position:
            raise _refused(path, "tensors overlap or leave holes")
        position = stop
    if position != size:
        raise _damaged(path, f"holds {size} bytes of tensors, its header says {position}")


def _span(name: str, entry: Any, path: Path) -> tuple[int, int]:
    try:
        start, stop = (_natural(offset) for offset in entry["data_offsets"])
        sides = [_natural(side) for side in entry["shape"]]
        if not isinstance(entry["shape"], list) or not isinstance(entry["data_offsets"], list):
            raise TypeError(name)
        right = stop - start == math.prod(sides) * _BYTES[entry["dtype"]]
        if len(sides) > MAX_DIMENSIONS or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refused(path, f"tensor '{name}' is described wrongly") from error
    if not right:
        raise _refused(path, f"tensor '{name}' has another size than its shape")
    return start, stop


def _natural(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 1 << 48:
        raise ValueError(number)
    return number


def _kind(entry: dict[str, Any]) -> Kind:
    return Kind(tuple(entry["shape"]), entry["dtype"] in _FLOATING)


def _refused(path: Path, what: str) -> RefusedError:
    return RefusedError(what, str(path), "use another copy of the file, from a source you trust")


def _damaged(path: Path, detail: str) -> DataError:
    return DataError(
        f"damaged safetensors file: {detail}", where=str(path), fix="use another copy of the file"
    )


def load_into(module: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a module; every name, shape and kind of number must match.

    Raises:
        DataError: they differ from the module's.
    """
    require_fit(module, kinds_of(tensors), path)
    module.load_state_dict(dict(tensors))


def kinds_of(tensors: Mapping[str, Tensor]) -> dict[str, Kind]:
    """What :func:`check_header` says of a file with these tensors."""
    return {
        name: Kind(tuple(tensor.shape), tensor.is_floating_point())
        for name, tensor in tensors.items()
    }


def require_fit(module: torch.nn.Module, kinds: Mapping[str, Kind], path: Path) -> None:
    """Check that tensors of these kinds belong to a module, which may be on the meta device.

    Raises:
        DataError: names, shapes or kinds of numbers differ from the module's.
    """
    own = kinds_of(module.state_dict())
    wrong = sorted(own.keys() ^ kinds.keys())
    wrong += [name for name in own.keys() & kinds.keys() if own[name] != kinds[name]]
    if wrong:
        raise DataError(
            f"{len(wrong)} tensors do not fit the model, first '{wrong[0]}'",
            where=str(path),
            fix="the weights belong to another configuration; use the config.json beside them",
        )
