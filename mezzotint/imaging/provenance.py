"""How a picture was made, kept inside its PNG: JSON for us, a ``parameters`` line for galleries."""

import itertools
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL.PngImagePlugin import PngInfo

from mezzotint.errors import DataError, MissingInputError, StorageError
from mezzotint.imaging import png

KEYWORD, LINE_KEYWORD = "mezzotint", "parameters"
SCHEMA = 1
MAX_TEXT = 64 << 10  # bytes of JSON written; Pillow refuses to read chunks above 1 MiB
_MAX_READ = 1 << 20  # bytes of one text chunk after decompression
_MAX_CHUNKS = 256
_LINE = {  # order and spelling of the AUTOMATIC1111 web UI, which gallery programs parse
    "steps": "Steps",
    "sampler": "Sampler",
    "guidance": "CFG scale",
    "seed": "Seed",
    "size": "Size",
    "model_sha256": "Model hash",
    "model": "Model",
    "label": "Label",
    "version": "Version",
}


def text_chunks(metadata: Mapping[str, Any]) -> PngInfo:
    """The chunks that carry ``metadata``: iTXt ``mezzotint`` and a ``parameters`` line.

    Entries that would make the JSON longer than 64 KiB are left out and named in ``left_out``.

    Raises:
        ValueError: a value has no JSON form, or is not finite.
    """
    kept = _bounded({"schema": SCHEMA, **metadata})
    info = PngInfo()
    info.add_itxt(KEYWORD, _dump(kept))
    info.add_text(LINE_KEYWORD, parameters_line(kept))
    return info


def parameters_line(metadata: Mapping[str, Any]) -> str:
    """Prompt, ``Negative prompt:`` and ``Key: value, ...`` as the AUTOMATIC1111 web UI writes."""
    negative = metadata.get("negative_prompt") or metadata.get("negative")
    pairs = [
        f"{shown}: {_quoted(metadata[key])}" for key, shown in _LINE.items() if _has(metadata, key)
    ]
    lines = [
        _clean(metadata.get("prompt") or ""),
        f"Negative prompt: {_clean(negative)}" if negative else "",
        ", ".join(pairs),
    ]
    return "\n".join(line for line in lines if line)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What :func:`text_chunks` stored, plus ``parameters``: the line for galleries, ours or not.

    A PNG of another program gives ``{}`` or its ``parameters`` alone. Chunks that are damaged,
    oversized or not what they claim are passed over.

    Raises:
        MissingInputError: there is no such file.
        StorageError: it cannot be read.
        DataError: it is not a PNG.
    """
    data = _read(Path(path))
    if not data.startswith(png.SIGNATURE):
        raise DataError("not a PNG file", str(path), "only PNG files carry the record")
    texts: dict[str, str] = {}
    for keyword, text in _texts(data):
        texts.setdefault(keyword, text)
    found = _parse(texts.get(KEYWORD, ""))
    if LINE_KEYWORD in texts:
        found.setdefault(LINE_KEYWORD, texts[LINE_KEYWORD])
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingInputError("no such file", str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise StorageError(f"cannot read the file: {error}", str(path)) from error


def _bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    room = MAX_TEXT - 4096  # for the list of what did not fit
    for key, value in metadata.items():
        room -= len(_dump({key: value}))
        if room < 0:
            kept.setdefault("left_out", []).append(key[:40])
        else:
            kept[key] = value
    return kept


def _dump(value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(value, allow_nan=False, default=_plain)
    except TypeError as error:
        raise ValueError(f"metadata has no JSON form: {error}") from None


def _plain(value: object) -> object:
    """A numpy or torch scalar as a Python number."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} cannot be stored")
    return item()


def _has(metadata: Mapping[str, Any], key: str) -> bool:
    return metadata.get(key) not in (None, "")


def _clean(value: object) -> str:
    return str(value).replace("\0", "").strip()


def _quoted(value: object) -> str:
    """Values that would be taken apart by a reader of the line are written as JSON strings."""
    text = _clean(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n\"]", text) else text


def _texts(data: bytes) -> Iterator[tuple[str, str]]:
    """Keyword and text of the intact text chunks, up to a bound on their number and length."""
    wanted = (chunk for chunk in png.chunks(data) if chunk.kind in _READERS)
    for chunk in itertools.islice(wanted, _MAX_CHUNKS):
        if not chunk.intact() or len(chunk.payload) > _MAX_READ:
            continue
        keyword, _, rest = bytes(chunk.payload).partition(b"\0")
        text = _READERS[chunk.kind](rest)
        if text is not None:
            yield keyword.decode("latin-1"), text


def _read_latin(rest: bytes) -> str | None:
    return rest.decode("latin-1")


def _read_packed_latin(rest: bytes) -> str | None:
    raw = _inflate(rest[1:])  # after the compression method
    return None if raw is None else raw.decode("latin-1")


def _read_utf8(rest: bytes) -> str | None:
    packed, parts = rest[:1] == b"\x01", rest[2:].split(b"\0", 2)  # language, keyword, text
    raw = (_inflate(parts[2]) if packed else parts[2]) if len(parts) == 3 else None
    return None if raw is None else raw.decode("utf-8", "replace")


_READERS = {b"tEXt": _read_latin, b"zTXt": _read_packed_latin, b"iTXt": _read_utf8}


def _inflate(raw: bytes) -> bytes | None:
    try:
        stream = zlib.decompressobj()
        text = stream.decompress(raw, _MAX_READ)
    except zlib.error:
        return None
    return text if stream.eof else None


def _parse(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
        json.dumps(found, ensure_ascii=False).encode()  # lone surrogates cannot be shown
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
