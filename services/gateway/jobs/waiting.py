"""Holding clients until a job changes: cheap to hold, quick to wake, and never dependent on being woken.

A waiter is a few hundred bytes: no task, no timer. `looking` keeps the watches informed that it waits with; one sweep
ends each whose time is over.

Used by `express` for the many (`hold`), by `jobs` and `posting` for the rest (`wait`), and by `events` (`held`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from services.gateway.http.problems import Problem, gone, unavailable
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.looking import Looking, States
from services.gateway.jobs.watches import Held, Hold, Outcome, Watch
from services.gateway.settings import Settings
from shared.cache.contract import Snapshots
from shared.clock import Clock
from shared.ids import IssuedId
from shared.models.public import Snapshot

TICKS_A_SECOND = 10
"""How exactly waits end. One sweep ends all of them: a timer each would cost more than the rest of a waiter."""


class Waiting:
    """The waiters of one gateway process. `chance` is uniform in 0…1 and spreads their looks."""

    def __init__(
        self,
        settings: Settings,
        *,
        cache: Snapshots,
        statuses: States,
        finished: Finished,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._looking = Looking(settings, cache=cache, statuses=statuses, finished=finished, clock=clock, chance=chance)
        self._statuses = statuses
        self._finished = finished
        self._clock = clock
        self._max_held = settings.max_held
        self._due: dict[int, set[Hold]] = {}
        self._held = 0
        self.draining = False

    @property
    def count(self) -> int:
        """Requests that are held now."""
        return self._held

    @property
    def full(self) -> bool:
        return self._held >= self._max_held

    def follow(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What must run for as long as anyone is held."""
        return (*self._looking.follow(), self._expire())

    async def wait(
        self, issued: IssuedId, *, seconds: float, known: int | None = None, fresh: Snapshot | None = None
    ) -> Snapshot:
        """The job's state as soon as it is good enough, else the current one after `seconds`.

        known: the order of the state that the client has; any higher one is good enough. None: only a terminal one is.
        fresh: the state just made by the caller, so that nobody need be asked for it.
        Raises Problem: 410 past retention, 503 when too many are held or when nobody can tell the state in the end.
        """
        hold = _Awaited(known)
        self.hold(hold, issued, seconds=seconds, fresh=fresh)
        try:
            outcome = await hold.outcome
        finally:
            self.leave(hold)
        return await self.conclude(outcome, issued)

    def hold(self, hold: Hold, issued: IssuedId, *, seconds: float, fresh: Snapshot | None = None) -> None:
        """Have `hold` settled, now or later, once; `leave` takes it back. Raises Problem 503 when too many are held."""
        watch = hold.watch = self._watch(issued)
        watch.join(hold)
        due = hold.due = round((self._clock.monotonic() + seconds) * TICKS_A_SECOND) + 1
        self._due.setdefault(due, set()).add(hold)
        if fresh is not None:
            watch.hear(fresh)
        hold.changed(draining=self.draining)

    def leave(self, hold: Hold) -> None:
        """Hold it no longer: it was settled, or its client has left. Harmless twice."""
        watch, due = hold.watch, self._due.get(hold.due)
        if due is not None:
            due.discard(hold)
        if watch is not None:
            hold.watch = None
            self._part(watch, hold)

    async def conclude(self, outcome: Outcome, issued: IssuedId) -> Snapshot:
        """What to answer. Raises Problem as `wait`."""
        if isinstance(outcome, Problem):
            raise outcome
        if outcome is None:
            return await self._statuses.stored(issued)
        self._refuse_deleted(outcome)
        return outcome

    def is_deleted(self, state: Snapshot) -> bool:
        """Whether the job was deleted, also if Redis, where its state comes from, has yet to hear of it."""
        return state.deleted or self._finished.is_deleted(state.id)

    @asynccontextmanager
    async def held(self, issued: IssuedId, *, known: int = 0) -> AsyncIterator[Held]:
        """Hold a request while the block lasts. known: the order of the state that the client has.

        Raises Problem as `wait`, before the block begins.
        """
        watch = self._watch(issued)
        held = Held(watch, lambda: self.draining)
        watch.join(held)
        try:
            await self._looking.inform(watch, known=known)
            self._refuse_deleted(held.latest)
            yield held
        finally:
            self._part(watch, held)

    def release_all(self) -> None:
        """Answer every held request with the state as it is, and hold none from here on."""
        self.draining = True
        for watch in tuple(self._looking.watches):
            watch.wake(draining=True)

    def _watch(self, issued: IssuedId) -> Watch:
        """The job's watch, with room for one more. Raises Problem 503 when there is none."""
        if self._held >= self._max_held:
            raise unavailable("Too many requests are held. Ask again without waiting, or later.")
        self._held += 1
        return self._looking.of(issued)

    def _part(self, watch: Watch, holder: Hold | Held) -> None:
        """The last to leave takes the watch away."""
        watch.part(holder)
        self._held -= 1
        if not watch.holders:
            self._looking.drop(watch)

    async def _expire(self) -> None:
        """Settle each whose time is over with the state as it is, until cancelled."""
        while True:
            await self._clock.sleep(1 / TICKS_A_SECOND)
            now = self._clock.monotonic() * TICKS_A_SECOND
            for tick in [tick for tick in self._due if tick <= now]:
                for hold in self._due.pop(tick):
                    hold.expire()

    def _refuse_deleted(self, latest: Snapshot) -> None:
        """Raises Problem 410 for a job that was deleted."""
        if self.is_deleted(latest):
            raise gone()


class _Awaited(Hold):
    """One that a coroutine waits for."""

    __slots__ = ("outcome",)

    def __init__(self, known: int | None) -> None:
        super().__init__(known)
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)
