"""A runner's process and the connection to it. Started, spoken to and ended here; what is said is `handle`'s affair.

The process is in a session and group of its own, so that signals to the worker's group do not reach it and whatever a
handler started dies with it. It dies with the worker (see `runner.hygiene`).
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Self, cast

from services.worker.execution.errors import Garbled
from services.worker.execution.frames import Decoder
from services.worker.execution.mark import Mark
from services.worker.execution.messages import ToRunner, ToWorker, read_to_worker
from services.worker.execution.settings import ExecutionSettings
from services.worker.execution.setup import Kind, Setup
from shared.child import Child

PROGRAM = "services.worker.execution.runner"
_STDERR = 2
LEAVE_SECONDS = 1.0
"""What a process has to end once its connection is closed, by either side."""
REST_SECONDS = 1.0
"""What is still to be read after the process has ended is already here; more would come from a fork that lives on."""

Receive = Callable[[ToWorker], None]


class RunnerProcess(asyncio.Protocol):
    """Made by `spawn`. `wait` must be awaited: it clears away what is left of the process."""

    def __init__(self, receive: Receive, mark: Mark, frame_bytes: int) -> None:
        self._receive = receive
        self._mark = mark
        self._decoder = Decoder(frame_bytes)
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._process: Child | None = None
        self._cause = ""

    @classmethod
    async def spawn(cls, kind: Kind, settings: ExecutionSettings, environ: Mapping[str, str], receive: Receive) -> Self:
        """Start one. Raises OSError when the system refuses a process."""
        ours, theirs = socket.socketpair()
        self = cls(receive, Mark.create(), settings.frame_bytes)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
            self._process = self._spawned(kind, settings, environ, theirs)
        except BaseException:
            ours.close() if self._transport is None else self._transport.abort()
            self._mark.close()
            raise
        finally:
            theirs.close()
        self._mark.close_fd()
        return self

    def _spawned(
        self, kind: Kind, settings: ExecutionSettings, environ: Mapping[str, str], theirs: socket.socket
    ) -> Child:
        fds = (theirs.fileno(), self._mark.fd)
        setup = Setup.of(settings, kind, worker_pid=os.getpid(), socket_fd=fds[0], mark_fd=fds[1])
        seen = {name: value for name, value in environ.items() if name not in settings.withheld}
        argv = [sys.executable, "-m", PROGRAM, setup.argument()]
        return Child(argv, environ=seen, fds=[fd for fd in fds if fd >= 0], stdout=_STDERR)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it may be given work: it lives, is connected, and is not being ended."""
        return not self._cause and not self._closed.done()

    def send(self, *messages: ToRunner) -> None:
        """In one write. Does nothing once the connection is gone: what was to be said is answered by its end."""
        if self._transport is not None:
            self._transport.write(b"".join([message.encode() for message in messages]))

    def marked(self) -> int:
        """The number of the run that holds, or held, its loop; 0 for none."""
        return self._mark.read()

    def show_stacks(self) -> None:
        """Have it write where its threads are to standard error."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGQUIT)

    def kill(self, cause: str) -> None:
        """End it and what it started, at once. cause: completes "runner 4711 …" in the log."""
        if not self._cause:
            self._cause = cause
            self._kill_group()

    def hang_up(self, cause: str) -> None:
        """Ask it to leave. One that stays is killed by `wait`. cause: as for `kill`."""
        self._cause = self._cause or cause
        if self._transport is not None:
            self._transport.close()

    async def wait(self) -> str:
        """Return when it has ended, everything that it said was received and nothing is left of it: which, and how."""
        assert self._process is not None
        exited = asyncio.create_task(self._process.wait())
        either: set[asyncio.Future[Any]] = {exited, self._closed}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({exited}, timeout=LEAVE_SECONDS)
        if not exited.done():
            self._cause = self._cause or "closed its connection"
            self._kill_group()
        self._cause = self._cause or _how(await exited)
        self._kill_group()  # what handlers started would live on
        await asyncio.wait({self._closed}, timeout=REST_SECONDS)
        if self._transport is not None:
            self._transport.abort()
        return f"runner {self.pid} {self._cause}"

    def forget(self) -> None:
        """Give back the memory of the mark; `marked` must not be asked any more."""
        self._mark.close()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._closed.done():
            self._closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                self._receive(read_to_worker(frame))
        except Garbled as fault:
            self.kill(f"sent {fault}")
            if self._transport is not None:
                self._transport.abort()


def _how(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}" + (" (out of memory?)" if -status == signal.SIGKILL else "")
