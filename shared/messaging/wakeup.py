"""An event with an alarm: the consumer's sharing out waits for a change or for a moment, whichever comes first."""

import asyncio
import math
from types import TracebackType
from typing import Self

from shared.clock import Clock


class WakeUp:
    """Owns at most one task, the alarm. An async context manager."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = math.inf

    def set(self) -> None:
        self._event.set()

    async def wait(self, *, until: float | None) -> None:
        """Return after the next `set`, or at about `until` (monotonic seconds), or, harmlessly, at an earlier alarm."""
        if until is not None and until < self._alarm_at:
            self._set_alarm(until)
        await self._event.wait()
        self._event.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop_alarm()
        if self._alarm is not None:
            await asyncio.gather(self._alarm, return_exceptions=True)

    def _set_alarm(self, at: float) -> None:
        self._drop_alarm()
        self._alarm_at = at
        self._alarm = asyncio.create_task(self._ring(at - self._clock.monotonic()), name="consumer alarm")

    def _drop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    async def _ring(self, seconds: float) -> None:
        await self._clock.sleep(max(0.0, seconds))
        self._alarm, self._alarm_at = None, math.inf
        self._event.set()
