"""Time as something that is handed in, so that tests move it instead of waiting for it.

Wall times are integer milliseconds since the Unix epoch (UTC) and carry the suffix `_at`; durations carry their unit.
Every service's composition root makes one `SystemClock`; tests use `ManualClock`.
"""

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime
from typing import Protocol

MILLISECONDS = 1_000


class Clock(Protocol):
    """The time, and waiting for it to pass."""

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed on the monotonic clock."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until `advance` moves it."""

    def __init__(self, now: int = 1_750_000_000_000) -> None:
        self._now = now
        self._monotonic = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move time on by `seconds`, waking sleepers in the order of their due times, each at its own moment."""
        await self._settle()  # whoever has just been started reaches its first wait
        target = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, woken = heapq.heappop(self._sleepers)
            self._move(due)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._move(target)
        await self._settle()

    def _move(self, monotonic: float) -> None:
        self._now += round((monotonic - self._monotonic) * MILLISECONDS)
        self._monotonic = monotonic

    async def _settle(self) -> None:
        for _ in range(20):  # enough turns of the loop for what was woken to reach its next wait
            await asyncio.sleep(0)


def rfc3339(at: int) -> str:
    """`at` as RFC 3339 in UTC with milliseconds, such as `2026-01-31T09:00:00.000Z`."""
    seconds, milliseconds = divmod(at, MILLISECONDS)
    text = _to_the_second(seconds)
    return f"{text}.{milliseconds:03}Z"


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 time with an offset. ValueError if it is anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or "T" not in text.upper():
        raise ValueError("not an RFC 3339 date-time with an offset")
    return round(moment.timestamp() * MILLISECONDS)


_last_second: tuple[int, str] = (-1, "")


def _to_the_second(seconds: int) -> str:
    """Most times rendered at one moment share their second, and strftime costs more than the rest of the rendering."""
    global _last_second  # noqa: PLW0603 - a one-entry memo, replaced whole
    if _last_second[0] != seconds:
        moment = datetime.fromtimestamp(seconds, UTC)
        _last_second = (seconds, f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}")  # C libraries differ on %Y before 1000
    return _last_second[1]
