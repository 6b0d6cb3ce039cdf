"""What handlers print. It goes to the worker's standard error, where it cannot disturb the service's JSON lines on
standard output, and no line is longer than a pipe writes in one piece, so the runners' lines do not mix.

Put in place by `hygiene`. Printing is a courtesy: when nobody reads any more, what is printed is lost, not an error.
"""

import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAX_LINE = 4_000
"""Bytes. With the ending below PIPE_BUF, 4,096 on Linux."""
CUT = b" ...[cut]"


class BoundedLines(io.RawIOBase):
    """Writes to a descriptor; what a line has beyond the limit is dropped."""

    def __init__(self, fd: int, limit: int = MAX_LINE) -> None:
        super().__init__()
        self._fd = fd
        self._limit = limit
        self._column = 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def write(self, data: "ReadableBuffer", /) -> int:
        given = bytes(data)
        for line in _lines(given):
            self._put(self._bounded(line))
        return len(given)

    def _bounded(self, line: bytes) -> bytes:
        text, ending = (line[:-1], b"\n") if line.endswith(b"\n") else (line, b"")
        before, self._column = self._column, self._column + len(text)
        shown = text[: max(0, self._limit - before)]
        if before <= self._limit < self._column:
            shown += CUT
        if ending:
            self._column = 0
        return shown + ending

    def _put(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            return


def bounded_text(fd: int) -> TextIO:
    """A text stream for `sys.stdout` or `sys.stderr`."""
    raw = io.BufferedWriter(BoundedLines(fd))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while end := data.find(b"\n", start) + 1:
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]
