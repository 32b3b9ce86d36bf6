"""Messages between the server and its workers: a JSON head and bytes, each behind its length."""

import json
import struct
from collections.abc import Iterator
from typing import Any

HEAD = struct.Struct(">IQ")
Message = tuple[dict[str, Any], bytes]


def encode(head: dict[str, Any], payload: bytes = b"") -> bytes:
    """A message as bytes."""
    text = json.dumps(head, allow_nan=False).encode()
    return HEAD.pack(len(text), len(payload)) + text + payload


class Decoder:
    """Bytes as they come in, messages as they are whole."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes; give the messages that are complete."""
        self._held += data
        while len(self._held) >= HEAD.size:
            text, payload = HEAD.unpack_from(self._held)
            whole = HEAD.size + text + payload
            if len(self._held) < whole:
                return
            head = json.loads(self._held[HEAD.size : HEAD.size + text])
            yield head, bytes(self._held[HEAD.size + text : whole])
            del self._held[:whole]


def joined(parts: list[bytes]) -> tuple[list[int], bytes]:
    """Several payloads as one, and their lengths."""
    return [len(part) for part in parts], b"".join(parts)


def split(payload: bytes, lengths: list[int]) -> list[bytes]:
    """The payloads that :func:`joined` put together."""
    parts, at = [], 0
    for length in lengths:
        parts.append(payload[at : at + length])
        at += length
    return parts
