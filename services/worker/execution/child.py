"""A child process of this one, started without forking it. Used by `process` alone.

Not by asyncio's own means: on uvloop they fork and then run Python's and gRPC's fork handlers in the child, which now
and then die of it (SIGSEGV) when gRPC is busy in the parent, as it is in a worker. `subprocess` uses vfork, after which
nothing runs in the child but the call that replaces it, and the parent's memory is not even mapped anew.
"""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

_STDERR = 2


class ChildProcess:
    """Runs a Python module in a session and group of its own, standard output joined to standard error, no input.

    To be made in the thread that runs the loop, which must last: the kernel ties the child's life to that very thread.
    It is stopped for the millisecond that it takes. Raises OSError when the system refuses a process.
    """

    def __init__(self, module: str, argument: str, environ: Mapping[str, str], fds: Sequence[int]) -> None:
        loop = asyncio.get_running_loop()
        self._status: asyncio.Future[int] = loop.create_future()
        self._process = subprocess.Popen(  # noqa: S603 - a program of ours, with an argument of ours
            [sys.executable, "-m", module, argument],
            stdin=subprocess.DEVNULL,
            stdout=_STDERR,
            env=environ,
            start_new_session=True,
            pass_fds=fds,
        )
        name = f"wait for process {self.pid}"
        threading.Thread(target=self._wait, args=(loop,), name=name, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Return when it has ended: its exit status, negative for the signal that ended it."""
        return await asyncio.shield(self._status)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        status = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop was closed, so nobody waits
            loop.call_soon_threadsafe(self._status.set_result, status)
