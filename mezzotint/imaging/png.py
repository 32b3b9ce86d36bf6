"""PNG as a list of chunks: enough to check a file and to read its text without decoding pixels.

Source: Portable Network Graphics (PNG) Specification, third edition, sections 5 and 11.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CASE_BIT = 0x20  # set in the first letter of a chunk's type when the chunk is ancillary


class Chunk(NamedTuple):
    """One chunk: its four-letter type, its content, and whether its checksum agrees."""

    kind: bytes
    payload: memoryview
    checksum: int

    def intact(self) -> bool:
        """Whether the stored CRC-32 is that of the type and the content."""
        return zlib.crc32(self.payload, zlib.crc32(self.kind)) == self.checksum

    def critical(self) -> bool:
        """Whether a reader must understand the chunk to show the image."""
        return not self.kind[0] & _CASE_BIT


def chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG in file order, IEND last; ends early where the file is cut short."""
    view, at = memoryview(data), len(SIGNATURE)
    while at + 12 <= len(view):
        (length,) = struct.unpack_from(">I", view, at)
        end = at + 8 + length
        if end + 4 > len(view):
            return
        (checksum,) = struct.unpack_from(">I", view, end)
        chunk = Chunk(bytes(view[at + 4 : at + 8]), view[at + 8 : end], checksum)
        yield chunk
        if chunk.kind == b"IEND":
            return
        at = end + 4


def fault(data: bytes) -> str:
    """What is wrong with the critical chunks of a PNG, in words; empty when nothing is."""
    last = b""
    for chunk in chunks(data):
        last = chunk.kind
        if chunk.critical() and not chunk.intact():
            return f"the checksum of its {last.decode('latin-1')} chunk is wrong"
    return "" if last == b"IEND" else "the file is cut short"


def first(data: bytes, kind: bytes) -> bytes | None:
    """The content of the first chunk of a kind, or None."""
    return next((bytes(chunk.payload) for chunk in chunks(data) if chunk.kind == kind), None)
