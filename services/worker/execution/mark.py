"""One number in memory that worker and runner share: which run holds the runner's loop right now, 0 for none.

The runner writes it before each step of a handler, which costs it well under a microsecond, and needs no step of its
own to be read: when the loop is stuck, or the process dead, the worker still sees who held it, and that the others on
that loop did not do it (`Lost.suspect`). Linux only (memfd); elsewhere it clears nobody.
"""

import mmap
import os
import sys
from typing import Self

_SIZE = mmap.PAGESIZE


class Mark:
    """`cell[0]` is the number. The runner's hot path writes it directly."""

    def __init__(self, fd: int) -> None:
        """fd: -1 for memory of this process's own."""
        self.fd = fd
        self._memory = mmap.mmap(fd, _SIZE)
        self.cell = memoryview(self._memory).cast("Q")

    @classmethod
    def create(cls) -> Self:
        if sys.platform != "linux":
            return cls(-1)
        fd = os.memfd_create("sluice-mark")
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    def read(self) -> int:
        return self.cell[0]

    def close(self) -> None:
        self.cell.release()
        self._memory.close()
        self.close_fd()

    def close_fd(self) -> None:
        """The memory stays: only handing it to another process takes the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
