"""Refusing in time: what the loop cannot keep up with is turned away at the door, while turning away is still cheap.

The measure is how late the loop runs its timers. Waiting is given up first, then reading; accepting work comes last,
for whoever is refused there has to send it all again.

Called by `edge` before anything of a request is looked at.
"""

from collections.abc import Callable
from enum import IntEnum

from aiohttp import web

from services.gateway.http.problems import Problem, unavailable
from shared.clock import Clock

TICK_SECONDS = 0.05
SMOOTHING = 0.3
STALL_MILLISECONDS = 100


class Worth(IntEnum):
    """What kind of request, by how much lateness of the loop (milliseconds) it is still taken at."""

    WAITING = 300
    READING = 600
    ACCEPTING = 1_000

    @classmethod
    def of(cls, request: web.BaseRequest) -> "Worth":
        if request.method == "POST":
            return cls.ACCEPTING
        return cls.WAITING if "Prefer" in request.headers else cls.READING


class Lateness:
    """How late the loop runs, in milliseconds, smoothed.

    stalled: called each time that it is late by STALL_MILLISECONDS or more.
    """

    def __init__(self, clock: Clock, stalled: Callable[[], object]) -> None:
        self._clock = clock
        self._stalled = stalled
        self.milliseconds = 0.0

    async def measure(self) -> None:
        """Until cancelled."""
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(TICK_SECONDS)
            late = max(0.0, self._clock.monotonic() - before - TICK_SECONDS) * 1_000
            if late >= STALL_MILLISECONDS:
                self._stalled()
            self.milliseconds += SMOOTHING * (late - self.milliseconds)

    def refuse(self, request: web.BaseRequest) -> Problem | None:
        """The refusal, if the loop runs too late for this kind of request."""
        if self.milliseconds < Worth.WAITING or self.milliseconds < Worth.of(request):
            return None
        members = {"accepted": False} if request.method == "POST" else {}
        return unavailable("Too much is asked for right now.", **members)
