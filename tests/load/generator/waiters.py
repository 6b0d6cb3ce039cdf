"""Many waiting clients: one GET with `Prefer: wait` held for each job, asked again when the wait ran out, to the end.

Says "waiting" once every request is sent; the harness then looks at what they cost, and lets the jobs run.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Final

import orjson

from tests.load.generator.checks import AGAIN_SECONDS, REFUSALS, shown
from tests.load.generator.http1 import Address, Connection, connect, get
from tests.load.generator.plans import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.load.generator.plans import Waiters

_AT_ONCE: Final = 50
_UNFINISHED: Final = frozenset({"queued", "running"})


class Crowd:
    """One run of a `Waiters` plan."""

    def __init__(self, plan: Waiters) -> None:
        self._plan = plan
        self._outputs = {id: orjson.loads(output) for id, output in plan.outputs.items()}
        self._left = len(plan.outputs)
        self._over = asyncio.Event()
        self.tally = Tally()

    async def run(self, waiting: Callable[[], None]) -> Tally:
        """`waiting` is called when every request has been sent. Raises OSError when a connection cannot be made."""
        waiters = await self._gather()
        waiting()
        began, cpu = time.perf_counter(), time.process_time()
        try:
            async with asyncio.timeout(self._plan.seconds):
                await self._over.wait()
        except TimeoutError:
            self.tally.fault(f"{self._left} of {len(waiters)} were not answered within {self._plan.seconds:.0f} s")
        self.tally.elapsed, self.tally.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        for waiter in waiters:
            waiter.close()
        return self.tally

    async def _gather(self) -> list[_Waiter]:
        ids, tokens = list(self._plan.outputs), itertools.cycle(self._plan.tokens)
        waiters: list[_Waiter] = []
        began = time.perf_counter()
        for start in range(0, len(ids), _AT_ONCE):
            await asyncio.sleep(began + start / self._plan.per_s - time.perf_counter())
            waiters += await asyncio.gather(*(self._start(id, next(tokens)) for id in ids[start : start + _AT_ONCE]))
        return waiters

    async def _start(self, id: str, token: str) -> _Waiter:
        plan = self._plan
        waiter = await connect(lambda: _Waiter(self, id), Address(plan.host, plan.port), source=plan.source)
        waiter.ask(token, plan.wait_seconds)
        return waiter

    def settled(self) -> None:
        """A waiter has its last answer, or will never have it."""
        self._left -= 1
        if not self._left:
            self._over.set()

    def check(self, id: str, body: bytes) -> bool:
        """Whether the job has ended; counts it, and whatever is wrong with it."""
        job = orjson.loads(body)
        if job["id"] == id and job["status"] in _UNFINISHED:
            self.tally.asked_again += 1
            return False
        if (job["id"], job["status"], job["output"]) == (id, "succeeded", self._outputs[id]):
            self.tally.answered += 1
        else:
            self.tally.fault(f"who waited for {id} got {shown(body)}")
        return True


class _Waiter(Connection):
    def __init__(self, crowd: Crowd, id: str) -> None:
        super().__init__()
        self._crowd = crowd
        self._id = id
        self._message = b""
        self._done = False

    def ask(self, token: str, wait_seconds: int) -> None:
        self._message = get(f"/v1/jobs/{self._id}", token, Prefer=f"wait={wait_seconds}")
        self.send(self._message)

    def answered(self, status: int, body: bytes) -> None:
        seen = time.time_ns() // 1_000
        if status in REFUSALS:
            self._crowd.tally.refused += 1
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.send, self._message)
            return
        if status != 200:
            self._crowd.tally.fault(f"status {status}: {shown(body)}")
        elif self._crowd.check(self._id, body):
            self._crowd.tally.moments[self._id] = seen
        else:
            self.send(self._message)
            return
        self._settle()

    def lost(self, fault: Exception) -> None:
        if not self._done:
            self._crowd.tally.fault(f"a connection was lost: {fault!r}")
            self._settle()

    def _settle(self) -> None:
        self._done = True
        self._crowd.settled()
