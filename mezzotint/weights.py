"""Tensors on disk: safetensors only, the header checked before anything trusts it."""

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mezzotint.errors import DataError, MezzotintError, MissingInputError, RefusedError
from mezzotint.files import storing
from mezzotint.readers import parse_json

MAX_HEADER_BYTES = 10 << 20
MAX_TENSORS = 20_000
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
_BYTES |= {"U8": 1, "BOOL": 1}


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


def check_header(path: Path) -> None:
    """Check size, keys, dtypes, shapes and offsets of a safetensors header against the file.

    Raises:
        MissingInputError, RefusedError, DataError: as :func:`load_tensors`.
    """
    try:
        total = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
            if length > MAX_HEADER_BYTES:
                raise RefusedError("the header is larger than any real one", where=str(path))
            header = file.read(max(length, 0))
    except OSError as error:
        raise MissingInputError(f"cannot read: {error.strerror}", where=str(path)) from error
    if length < 2 or len(header) != length:
        raise _damaged(path, "the header is cut off")
    _check_entries(_parse(header, path), total - 8 - length, path)


def _parse(header: bytes, path: Path) -> dict[str, Any]:
    try:
        entries = parse_json(header.decode(), path)
    except RefusedError:
        raise
    except (MezzotintError, UnicodeDecodeError) as error:
        raise _damaged(path, "the header is not valid JSON") from error
    if not isinstance(entries, dict) or len(entries) > MAX_TENSORS:
        raise RefusedError("the header does not describe tensors", where=str(path))
    entries.pop("__metadata__", None)
    return entries


def _check_entries(entries: dict[str, Any], size: int, path: Path) -> None:
    spans = sorted(_span(name, entry, path) for name, entry in entries.items())
    position = 0
    for start, stop in spans:
        if start != position:
            raise RefusedError("tensors overlap or leave holes", where=str(path))
        position = stop
    if position != size:
        raise _damaged(path, f"holds {size} bytes of tensors, its header says {position}")


def _span(name: str, entry: Any, path: Path) -> tuple[int, int]:
    try:
        count = 1
        for side in entry["shape"]:
            if not 0 <= int(side) < 1 << 40:
                raise ValueError(side)
            count *= int(side)
        start, stop = (int(offset) for offset in entry["data_offsets"])
        right = stop - start == count * _BYTES[entry["dtype"]] and start >= 0
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RefusedError(f"tensor '{name}' is described wrongly", where=str(path)) from error
    if not right:
        raise RefusedError(f"tensor '{name}' has another size than its shape", where=str(path))
    return start, stop


def _damaged(path: Path, detail: str) -> DataError:
    return DataError(
        f"damaged safetensors file: {detail}", where=str(path), fix="use another copy of the file"
    )


def load_into(module: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a module; every name and shape must match.

    Raises:
        DataError: names or shapes differ from the module's.
    """
    own = module.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys())
    wrong += [
        name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape
    ]
    if wrong:
        raise DataError(
            f"{len(wrong)} tensors do not fit the model, first '{wrong[0]}'",
            where=str(path),
            fix="the weights belong to another configuration; use the config.json beside them",
        )
    module.load_state_dict(dict(tensors))
