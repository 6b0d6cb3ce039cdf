"""Leaves no process behind, however the runner ends. Owned by `Backends` and `System`; used by `ChildProcess`.

A guard is one small process (`guard_process`) that notices our death by a pipe that closes. See there and `leash`.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deploy.local.errors import StartFailedError
from shared.child import Child

_HERE: Final = Path(__file__).parent
# -I -S: neither the user's site-packages nor the environment can slow or change these two scripts.
_BARE_PYTHON: Final = (sys.executable, "-I", "-S")
_END_SECONDS: Final = 70.0  # removing a container may take a minute


class Guard:
    """An async context manager. On leaving, whatever is still registered is killed, as if we had died."""

    def __init__(self) -> None:
        self._process: Child | None = None
        self._pipe = -1

    async def __aenter__(self) -> Self:
        theirs, self._pipe = os.pipe()
        try:
            self._process = Child((*_BARE_PYTHON, str(_HERE / "guard_process.py")), stdin=theirs)
        finally:
            os.close(theirs)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._pipe)
        if self._process is not None:
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()

    @property
    def pipe(self) -> int:
        """The descriptor that a leashed command must inherit."""
        return self._pipe

    def leashed(self, argv: Sequence[str]) -> tuple[str, ...]:
        """`argv`, run so that it dies with this process and is known to the guard. Start it in a session of its own."""
        return (*_BARE_PYTHON, str(_HERE / "leash.py"), str(os.getpid()), str(self._pipe), *argv)

    def release_group(self, group: int) -> None:
        """The process group has ended."""
        with contextlib.suppress(BrokenPipeError):  # a dead guard remembers nobody
            self._tell(f"- group {group}")

    def watch_container(self, name: str) -> None:
        """Remove the container `name` if we die. Raises StartFailedError without a living guard."""
        try:
            self._tell(f"+ container {name}")
        except BrokenPipeError:
            raise StartFailedError("The guard process has died; nothing is started without it.") from None

    def release_container(self, name: str) -> None:
        """The container is gone."""
        with contextlib.suppress(BrokenPipeError):
            self._tell(f"- container {name}")

    def _tell(self, line: str) -> None:
        os.write(self._pipe, f"{line}\n".encode())  # shorter than PIPE_BUF, so writers never mix
