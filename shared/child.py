"""A child process of this one, started without forking it. For programs on uvloop.

Not by asyncio's own means: on uvloop they fork and then run Python's and gRPC's fork handlers in the child, which now
and then die of it (SIGSEGV), or never come back from it, when there are threads or gRPC is busy in the parent.
`subprocess` uses vfork, after which nothing runs in the child but the call that replaces it, and the parent's memory is
not even mapped anew.
"""

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

Stream = int | IO[bytes] | None
"""As `subprocess.Popen` takes it; None: ours."""


class Child:
    """Runs a program in a session and group of its own, without input unless `stdin` says otherwise.

    environ: the whole environment; None: ours. fds: descriptors that it inherits, beside the standard ones.
    To be made in the thread that runs the loop, which is stopped for the millisecond that it takes. Raises OSError when
    the system refuses a process.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        fds: Sequence[int] = (),
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._status: asyncio.Future[int] = loop.create_future()
        self._process = subprocess.Popen(  # noqa: S603 - a program of ours, with arguments of ours
            argv, stdin=stdin, stdout=stdout, stderr=stderr, env=environ, cwd=cwd, start_new_session=True, pass_fds=fds
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
