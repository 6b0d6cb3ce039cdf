"""The open model: requests are due at a fixed rate, whether answers come or not.

Latency counts from when a request was due, not from when a connection was free to send it, so that a stall shows in
every request that it delays (G. Tene: "coordinated omission"). Where a timer's millisecond would be most of what is
measured it spins, and needs a core of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from tests.load.generator.checks import REFUSALS, checker
from tests.load.generator.http1 import Address, Connection, connect
from tests.load.generator.plans import Tally

if TYPE_CHECKING:
    from tests.load.generator.plans import Open

_GRACE_SECONDS: Final = 10.0


class OpenLoop:
    """One run of an `Open` plan."""

    def __init__(self, plan: Open) -> None:
        self._plan = plan
        self._checker = checker(plan.check, plan.exchanges)
        self.messages = [exchange.message.encode() for exchange in plan.exchanges]
        self.tally = Tally()
        self._free: deque[_Caller] = deque()
        self._late: deque[int] = deque()  # due, and no connection free; as many at most as the plan has requests
        self._under_way = 0
        self._index = 0

    async def run(self) -> Tally:
        """Raises OSError when a connection cannot be made."""
        plan, address = self._plan, Address(self._plan.host, self._plan.port)
        callers = [await connect(lambda: _Caller(self), address) for _ in range(plan.connections)]
        self._free.extend(callers)
        began, cpu = time.perf_counter(), time.process_time()
        await self._send_all()
        self.tally.elapsed, self.tally.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        await self._settle()
        for caller in callers:
            caller.close()
        return self.tally

    async def _send_all(self) -> None:
        began, every = time.perf_counter_ns(), 1e9 / self._plan.rate
        for number in range(round(self._plan.rate * self._plan.seconds)):
            due = began + round(number * every)
            while (left := due - time.perf_counter_ns()) > 0:
                await asyncio.sleep(0 if self._plan.spin else left / 1e9)
            self._due(due)

    async def _settle(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                while self._under_way or self._late:
                    await asyncio.sleep(0.01)
        if self._under_way or self._late:
            self.tally.fault(f"{self._under_way + len(self._late)} requests were not answered")

    def _due(self, at: int) -> None:
        if self._free:
            self._send(self._free.popleft(), at)
        else:
            self._late.append(at)

    def _send(self, caller: _Caller, due: int) -> None:
        self._under_way += 1
        caller.ask(self._index, due)
        self._index = (self._index + 1) % len(self.messages)

    def count(self, caller: _Caller, status: int, body: bytes) -> None:
        """An answer came: count it, and give its connection to who waits longest."""
        self._under_way -= 1
        self._judge(caller, status, body)
        if self._late:
            self._send(caller, self._late.popleft())
        else:
            self._free.append(caller)

    def _judge(self, caller: _Caller, status: int, body: bytes) -> None:
        if status in REFUSALS:
            self.tally.refused += 1
        elif wrong := self._checker.wrong(caller.index, status, body):
            self.tally.fault(wrong)
        else:
            self.tally.answered += 1
            self.tally.latencies.record((time.perf_counter_ns() - caller.due) // 1_000)

    def drop(self, caller: _Caller, fault: Exception) -> None:
        """A connection was lost under a request, or while it was free."""
        self.tally.fault(f"a connection was lost: {fault!r}")
        if caller in self._free:
            self._free.remove(caller)
        else:
            self._under_way -= 1


class _Caller(Connection):
    def __init__(self, load: OpenLoop) -> None:
        super().__init__()
        self._load = load
        self.index = 0
        self.due = 0
        self._closing = False

    def ask(self, index: int, due: int) -> None:
        self.index, self.due = index, due
        self.send(self._load.messages[index])

    def close(self) -> None:
        self._closing = True
        super().close()

    def answered(self, status: int, body: bytes) -> None:
        self._load.count(self, status, body)

    def lost(self, fault: Exception) -> None:
        if not self._closing:
            self._load.drop(self, fault)
