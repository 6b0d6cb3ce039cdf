"""A child process that can be started, awaited, stopped, killed, frozen and restarted.

Backends and services alike are `ChildProcess`es; the chaos tests reach into them by name through `System.processes`.
Output goes straight to a file, not through us: a child must never wait for a busy or frozen runner to read its pipe.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from deploy.local.errors import StartFailedError
from deploy.local.guard import Guard
from shared.child import Child

Probe = Callable[[], Awaitable[bool]]
"""Asks once whether a process really answers; False means "not yet". It gives up by itself within a second or two."""

_PROBE_EVERY: Final = 0.05  # seconds
_KILL_SECONDS: Final = 10.0  # after SIGKILL only the kernel is left to act
STOP_SECONDS: Final = 12.0  # services promise to exit within 10 s of SIGTERM
_TAIL_BYTES: Final = 8_192
_TAIL_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    name: of the process, such as `worker-2`; its log is `<name>.log`.
    environ: the whole environment.
    log: appended to; emptied when the process is started for the first time.
    """

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path
    log: Path


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended.

    code: as the shell's `$?`, but negative for the signal that ended it.
    asked: whether we told it to.
    """

    code: int
    asked: bool

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exit code {self.code}"
        return f"signal {signal.Signals(-self.code).name}"


class ChildProcess:
    """One process in a session and group of its own, leashed to the life of this one.

    Start it from the thread that runs the event loop, and keep that thread: the kernel ends the child with it.
    """

    def __init__(self, command: Command, guard: Guard, ready: Probe | None = None, ready_within: float = 30.0) -> None:
        self.command = command
        self._guard = guard
        self._ready = ready
        self._ready_within = ready_within
        self._process: Child | None = None
        self._watch: asyncio.Task[Exit] | None = None
        self._asked = False
        self._frozen = False

    @property
    def name(self) -> str:
        """The name by which logs, messages and tests know it."""
        return self.command.name

    @property
    def pid(self) -> int:
        """Of the running process, or of the last one. Raises RuntimeError before the first start."""
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended. A frozen process runs."""
        return self._watch is not None and not self._watch.done()

    async def start(self) -> None:
        """Start it and return when it answers. Raises StartFailedError, with the end of its log, when it does not."""
        await self.spawn()
        await self.until_ready()

    async def spawn(self) -> None:
        """Start it and return at once."""
        if self.running:
            raise RuntimeError(f"{self.name} is running")
        self._asked = self._frozen = False
        with self._open_log() as log:
            self._process = Child(
                self._guard.leashed(self.command.argv),
                environ=self.command.environ,
                cwd=self.command.cwd,
                fds=(self._guard.pipe,),
                stdout=log,
                stderr=log,
            )
        self._watch = asyncio.create_task(self._until_exit(self._process), name=f"watch {self.name}")

    async def until_ready(self) -> None:
        """Return when the probe succeeds. Raises StartFailedError when the process ends or `ready_within` passes."""
        if self._ready is None:
            return
        try:
            async with asyncio.timeout(self._ready_within):
                while not await self._ready():
                    if not self.running:
                        raise StartFailedError(self.obituary(f"ended while it was starting ({await self.wait()})"))
                    await asyncio.sleep(_PROBE_EVERY)
        except TimeoutError:
            raise StartFailedError(self.obituary(f"did not answer within {self._ready_within:.0f} s")) from None

    async def wait(self) -> Exit:
        """Return when it has ended, and how. Cancelling this wait does not touch the process."""
        if self._watch is None:
            raise RuntimeError(f"{self.name} has not been started")
        return await asyncio.shield(self._watch)

    async def stop(self, within: float = STOP_SECONDS) -> Exit | None:
        """SIGTERM, and SIGKILL after `within` seconds. None when it was never started. Harmless twice."""
        if self._watch is None:
            return None
        self._asked = True
        if self.running:
            self._send_term()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within):
                    return await self.wait()
        return await self.kill()

    async def kill(self) -> Exit | None:
        """SIGKILL to the whole group, as a crash of its machine would. None when it was never started."""
        if self._watch is None:
            return None
        self._asked = True
        if self.running:
            await self._send_kill()
        async with asyncio.timeout(_KILL_SECONDS):
            return await self.wait()

    async def restart(self) -> None:
        """Start it again on the same port with the same settings, killing it first if it still runs."""
        await self.kill()
        await self.start()

    async def freeze(self) -> None:
        """Stop its clockwork (SIGSTOP) without its knowledge, connections staying open."""
        self._frozen = True
        self._signal_group(signal.SIGSTOP)

    async def thaw(self) -> None:
        """Let a frozen process go on (SIGCONT)."""
        self._frozen = False
        self._signal_group(signal.SIGCONT)

    def log_tail(self) -> list[str]:
        """The last lines it wrote, at most `_TAIL_LINES`."""
        try:
            with self.command.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
        except FileNotFoundError:
            return []

    def obituary(self, what: str) -> str:
        """A message for the terminal: which process, `what` happened to it, and its last words."""
        tail = "".join(f"\n    {line}" for line in self.log_tail())
        words = f"The end of {self.command.log}:{tail}" if tail else f"It wrote nothing to {self.command.log}."
        return f"{self.name} {what}. {words}"

    def _open_log(self) -> BinaryIO:
        self.command.log.parent.mkdir(parents=True, exist_ok=True)
        if self._process is None:
            self.command.log.unlink(missing_ok=True)
        return self.command.log.open("ab", buffering=0)

    async def _until_exit(self, process: Child) -> Exit:
        code = await process.wait()
        # What it started may live on in its group; nobody else would end it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._guard.release_group(process.pid)
        return Exit(code, self._asked)

    def _send_term(self) -> None:
        """To the process alone: what happens to its own children is its decision."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        if self._frozen:
            self._signal_group(signal.SIGCONT)

    async def _send_kill(self) -> None:
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, what: signal.Signals) -> None:
        if not self.running:
            raise RuntimeError(f"{self.name} is not running")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, what)


async def run_to_end(command: Command, guard: Guard, within: float) -> None:
    """Run a command that ends by itself. Raises StartFailedError when it fails or takes over `within` seconds."""
    process = ChildProcess(command, guard)
    await process.spawn()
    try:
        async with asyncio.timeout(within):
            how = await process.wait()
    except TimeoutError:
        raise StartFailedError(process.obituary(f"was still running after {within:.0f} s")) from None
    finally:
        await process.kill()
    if how.code:
        raise StartFailedError(process.obituary(f"failed ({how})"))
