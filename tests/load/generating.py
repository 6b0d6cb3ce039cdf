"""The harness's side of a generator: starts the process, hands it its plan, waits for what it says, ends it.

Each generator is tied to the life of this process, in a session of its own, and pinned when its row wants it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson

from tests.load.generator.plans import Plan, Tally, encode
from tests.load.placement import pin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deploy.local.guard import Guard

_LONGEST_LINE: Final = 256 * 1024 * 1024  # a result names every job that was waited for
_SPARE_SECONDS: Final = 60.0


class GeneratorFailedError(Exception):
    """A generator ended without a result, or did not come to its end in time."""


class Generator:
    """A generator that runs. Made by `generator`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(self, plan: Plan) -> None:
        """Hand it its plan."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(encode(plan)) + b"\n")
        await self._process.stdin.drain()

    async def expect(self, event: str, within: float) -> dict[str, Any]:
        """The next event, which must be `event`. Raises GeneratorFailedError."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise GeneratorFailedError(f"a generator did not say {event!r} within {within:.0f} s") from None
        if not line:
            raise GeneratorFailedError("a generator ended without a result; its error is above")
        said: dict[str, Any] = orjson.loads(line)
        if said["event"] != event:
            raise GeneratorFailedError(f"a generator said {said['event']!r} instead of {event!r}")
        return said

    async def result(self, within: float) -> Tally:
        """What came of the plan. Raises GeneratorFailedError."""
        return Tally.from_json((await self.expect("done", within))["tally"])


@asynccontextmanager
async def generator(guard: Guard, cores: frozenset[int]) -> AsyncIterator[Generator]:
    """A generator process on these cores, ended on leaving."""
    process = await asyncio.create_subprocess_exec(
        *guard.leashed((sys.executable, "-m", "tests.load.generator")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        start_new_session=True,
        pass_fds=(guard.pipe,),
    )
    try:
        pin([process.pid], cores)
        yield Generator(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        guard.release_group(process.pid)


async def carry_out(guard: Guard, cores: frozenset[int], plan: Plan, seconds: float) -> Tally:
    """One plan from start to end. seconds: how long it takes if all goes well. Raises GeneratorFailedError."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(generator(guard, cores))
        await made.start(plan)
        return await made.result(seconds + _SPARE_SECONDS)
