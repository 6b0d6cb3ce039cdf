"""The closed model: every connection sends its next request as soon as it has its answer.

Measures what a server can do at most. It hides stalls, for nobody asks while nothing is answered: see `open`.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.load.generator.checks import REFUSALS, Accepted, checker
from tests.load.generator.http1 import Address, Connection, connect
from tests.load.generator.plans import Tally

if TYPE_CHECKING:
    from tests.load.generator.plans import Closed

_GRACE_SECONDS: Final = 10.0  # for the answers still due when the time is over


class ClosedLoop:
    """One run of a `Closed` plan."""

    def __init__(self, plan: Closed) -> None:
        self._plan = plan
        self._checker = checker(plan.check, plan.exchanges)
        self.messages = [exchange.message.encode() for exchange in plan.exchanges]
        self.tally = Tally()
        self._left = plan.count or -1
        self._busy = 0
        self._idle = asyncio.Event()
        self._counts_from = self._ends_at = 0

    async def run(self) -> Tally:
        """Raises OSError when a connection cannot be made."""
        plan, address = self._plan, Address(self._plan.host, self._plan.port)
        callers = [await connect(partial(_Caller, self, n), address) for n in range(plan.connections)]
        self._counts_from = time.perf_counter_ns() + round(plan.warm_seconds * 1e9)
        self._ends_at = self._counts_from + round(plan.seconds * 1e9)
        self._busy = len(callers)
        for caller in callers:
            self.go_on(caller, time.perf_counter_ns())
        await self._measure()
        for caller in callers:
            caller.close()
        if isinstance(self._checker, Accepted):
            self.tally.ids = {id.decode(): index for id, index in self._checker.ids.items()}
        return self.tally

    async def _measure(self) -> None:
        plan = self._plan
        await asyncio.sleep(plan.warm_seconds)
        began, cpu = time.perf_counter(), time.process_time()
        if plan.count:
            await self._all_answered(plan.seconds)
        else:
            await asyncio.sleep(plan.seconds)
        self.tally.elapsed, self.tally.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        if not await self._all_answered(_GRACE_SECONDS):
            self.tally.fault(f"{self._busy} requests were not answered within {_GRACE_SECONDS:.0f} s")

    async def _all_answered(self, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def count(self, index: int, status: int, body: bytes, sent_at: int, now: int) -> None:
        """An answer came."""
        self.tally.ended += 1
        if status in REFUSALS:
            self.tally.refused += 1
            return
        wrong = self._checker.wrong(index, status, body)
        if wrong:
            self.tally.fault(wrong)
        elif self._counts_from <= now < self._ends_at:
            self.tally.answered += 1
            self.tally.latencies.record((now - sent_at) // 1_000)

    def go_on(self, caller: _Caller, now: int) -> None:
        """The caller's next request, if there is to be one."""
        if now < self._ends_at and self._left:
            self._left -= 1
            caller.ask(now)
        else:
            self.leave()

    def leave(self) -> None:
        """A caller has sent its last request."""
        self._busy -= 1
        if not self._busy:
            self._idle.set()


class _Caller(Connection):
    """One connection, going round the exchanges from its own place on."""

    def __init__(self, load: ClosedLoop, first: int) -> None:
        super().__init__()
        self._load = load
        self._index = first % len(load.messages)
        self._sent_at = 0

    def ask(self, now: int) -> None:
        """Send the next request."""
        self._sent_at = now
        self.send(self._load.messages[self._index])

    def answered(self, status: int, body: bytes) -> None:
        now, load, index = time.perf_counter_ns(), self._load, self._index
        load.count(index, status, body, self._sent_at, now)
        self._sent_at = 0
        self._index = (index + 1) % len(load.messages)
        load.go_on(self, now)

    def lost(self, fault: Exception) -> None:
        if self._sent_at:
            self._load.tally.fault(f"a connection was lost: {fault!r}")
            self._load.leave()
