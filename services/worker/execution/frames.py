"""The bytes between worker and runner: a fixed head, a small JSON header, a payload that nobody parses on the way.

    kind (1) ‖ number (8) ‖ length of header (4) ‖ length of payload (4) ‖ header ‖ payload

`number` says which run (or ping) a frame is about. Both sides use this module; what frames mean is in `messages`.
"""

import struct
from typing import NamedTuple

from services.worker.execution.errors import Garbled

_HEAD = struct.Struct("<BQII")


class Frame(NamedTuple):
    kind: int
    number: int
    header: bytes
    payload: bytes


def encode(kind: int, number: int, header: bytes = b"", payload: bytes = b"") -> bytes:
    return b"".join((_HEAD.pack(kind, number, len(header), len(payload)), header, payload))


class Decoder:
    """Cuts a stream into frames of at most `limit` bytes, head aside."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises Garbled for one that says it is larger than the limit."""
        self._buffer += data
        frames, start = [], 0
        with memoryview(self._buffer) as view:
            while (frame := self._frame(view, start)) is not None:
                frames.append(frame)
                start += _HEAD.size + len(frame.header) + len(frame.payload)
        del self._buffer[:start]
        return frames

    def _frame(self, view: memoryview, start: int) -> Frame | None:
        begin = start + _HEAD.size
        if len(view) < begin:
            return None
        kind, number, header, payload = _HEAD.unpack_from(view, start)
        if header + payload > self._limit:
            raise Garbled(f"a frame of {header + payload} bytes, where {self._limit} are allowed")
        middle, end = begin + header, begin + header + payload
        if len(view) < end:
            return None
        return Frame(kind, number, bytes(view[begin:middle]), bytes(view[middle:end]))
