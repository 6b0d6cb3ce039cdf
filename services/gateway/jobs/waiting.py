"""Holding clients until a job changes: cheap to hold, quick to wake, and never dependent on being woken.

A waiter registers this gateway in Redis under the job's id, with all that came in the same moment, and is a few hundred
bytes from then on: no task, no timer. Whoever changes the job publishes its new state on this gateway's one channel. A
waiter that hears nothing looks again every 10–15 s, all of them in few round trips, and so does everyone after the
channel was lost; who was not told of what it finds registers anew, and everyone does now and then. Nobody polls the
store: while Redis answers, the store knows more only of a job whose telling was lost, so waiters ask it by turns, at a
pace that a crowd does not change. Who can be told nothing, for the store does not answer, waits on and gets a turn: a
crowd that is turned away comes back at once, and keeps the store from ever answering.

Used by `express` for the many (`hold`), by `jobs` and `posting` for the rest (`wait`), and by `events` (`held`).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from services.gateway.http.problems import UNAVAILABLE, Problem, gone, unavailable
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.watches import Held, Hold, Outcome, Watch
from services.gateway.settings import Settings
from shared.cache.contract import Snapshots
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.ids import IssuedId
from shared.models.public import Snapshot

RECHECK_TICK_SECONDS = 1.0
TICKS_A_SECOND = 10
"""How exactly waits end. One sweep ends all of them: a timer each would cost more than the rest of a waiter."""
REGISTER_SECONDS = 36.0
"""Between the registrations of a waiter, of which a re-check may be late: Redis keeps one, and what it knows of a job
that nobody has begun, for a minute at least."""
LOOK_AT_ONCE = 500
"""Waiters that look again in one round trip."""
STORE_LOOKS_A_TICK = 100
"""Waiters that ask the store in a tick while Redis answers."""
RECONNECT_SECONDS = 0.5

_log = logging.getLogger("sluice.gateway")


class States(Protocol):
    """What knows the state of what is waited for."""

    async def stored(self, issued: IssuedId) -> Snapshot:
        """By the store. Raises Problem: 410 past retention, 503 when nobody can tell."""
        ...


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
        self._gateway = settings.instance
        self._cache = cache
        self._statuses = statuses
        self._finished = finished
        self._clock = clock
        self._chance = chance
        self._recheck_seconds = settings.recheck_seconds
        self._max_held = settings.max_held
        self._watches: dict[str, Watch] = {}
        self._due: dict[int, set[Hold]] = {}
        self._entering: list[Watch] = []
        self._turns: dict[Watch, None] = {}
        """Who is to ask the store, in order."""
        self._someone_enters = asyncio.Event()
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
        return (self._listen(), self._enter(), self._expire(), self._recheck())

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
            if watch.latest is None:
                await self._register_or_all([watch])
            if watch.latest is None or watch.latest.order < known:
                watch.hear(await self._statuses.stored(issued))
            self._refuse_deleted(held.latest)
            yield held
        finally:
            self._part(watch, held)

    def release_all(self) -> None:
        """Answer every held request with the state as it is, and hold none from here on."""
        self.draining = True
        for watch in tuple(self._watches.values()):
            watch.wake(draining=True)

    # Joining and leaving

    def _watch(self, issued: IssuedId) -> Watch:
        """The job's watch, with room for one more. Raises Problem 503 when there is none."""
        if self._held >= self._max_held:
            raise unavailable("Too many requests are held. Ask again without waiting, or later.")
        watch = self._watches.get(issued.text)
        if watch is None:
            watch = self._watches[issued.text] = Watch(issued, self._next_recheck())
            self._entering.append(watch)
            self._someone_enters.set()
        self._held += 1
        return watch

    def _part(self, watch: Watch, holder: Hold | Held) -> None:
        """The last to leave takes the watch away.

        This gateway's name stays in the job's watch set until the finish clears it or it expires: no round trip.
        """
        watch.part(holder)
        self._held -= 1
        if not watch.holders and self._watches.get(watch.issued.text) is watch:
            del self._watches[watch.issued.text]
            self._turns.pop(watch, None)

    async def _enter(self) -> None:
        """Register those who came in the same moment, until cancelled."""
        async with asyncio.TaskGroup() as entries:
            while True:
                await self._someone_enters.wait()
                self._someone_enters.clear()
                entering, self._entering = self._entering, []
                for piece in _pieces(entering):
                    entries.create_task(self._look_first(piece))

    async def _look_first(self, watches: Sequence[Watch]) -> None:
        """Register before looking: what is told in between is heard."""
        silent = await self._register_or_all(watches)
        await self._ask_store([watch for watch in silent if watch.latest is None])

    # While they wait

    async def _listen(self) -> None:
        """Hear the gateway's channel until cancelled; when it is lost, enter again and look at everything anew.

        What was deleted meanwhile was not heard, so nothing that was held is to be trusted.
        """
        while True:
            try:
                async with self._cache.listen(self._gateway) as told:
                    self._finished.clear()
                    await self._look_anew()
                    async for snapshot in told:
                        self._hear(snapshot)
            except (CacheUnavailable, Overloaded) as fault:
                _log.warning("the wake-up channel is lost", extra={"fault": type(fault).__name__, "held": self._held})
            await self._clock.sleep(RECONNECT_SECONDS * (0.5 + self._chance()))

    async def _expire(self) -> None:
        """Settle each whose time is over with the state as it is, until cancelled."""
        while True:
            await self._clock.sleep(1 / TICKS_A_SECOND)
            now = self._clock.monotonic() * TICKS_A_SECOND
            for tick in [tick for tick in self._due if tick <= now]:
                for hold in self._due.pop(tick):
                    hold.expire()

    async def _recheck(self) -> None:
        """Look again, for every job whose time has come, until cancelled."""
        while True:
            await self._clock.sleep(RECHECK_TICK_SECONDS)
            now = self._clock.monotonic()
            await self._look_again([watch for watch in self._watches.values() if watch.recheck_at <= now])
            await self._take_turns()

    async def _look_again(self, watches: Sequence[Watch]) -> None:
        """Where Redis does not answer, the store is asked at once."""
        for piece in _pieces(watches):
            try:
                await self._look(piece)
            except (CacheUnavailable, Overloaded):
                await self._ask_store(piece)
            else:
                self._queue(piece)

    async def _look_anew(self) -> None:
        """Look at everyone's job; of what Redis knows nothing, the store is asked at once."""
        for piece in _pieces(list(self._watches.values())):
            await self._ask_store(await self._register_or_all(piece))
            self._queue(piece)

    def _queue(self, watches: Sequence[Watch]) -> None:
        self._turns.update((watch, None) for watch in watches if watch.latest is None or not watch.latest.terminal)

    async def _take_turns(self) -> None:
        turns = [watch for watch, _ in zip(self._turns, range(STORE_LOOKS_A_TICK), strict=False)]
        for watch in turns:
            del self._turns[watch]
        await self._ask_store(turns)

    async def _look(self, watches: Sequence[Watch]) -> None:
        """Look at what Redis keeps of these jobs, and register anew where that is due, or something was not told.

        Raises CacheUnavailable, Overloaded.
        """
        for watch in watches:
            watch.recheck_at = self._next_recheck()
        due = self._clock.monotonic() - REGISTER_SECONDS
        kept = await self._cache.fetch_all([watch.issued.text for watch in watches])
        found = zip(watches, kept, strict=True)
        await self._register([each for each, state in found if each.registered_at <= due or each.untold(state)])

    async def _register(self, watches: Sequence[Watch]) -> Sequence[Watch]:
        """Have this gateway told of these jobs; returns those that Redis knows nothing of.

        Raises CacheUnavailable, Overloaded.
        """
        now = self._clock.monotonic()
        for watch in watches:
            watch.recheck_at = self._next_recheck()
        kept = await self._cache.watch(self._gateway, [watch.issued.text for watch in watches])
        for watch, snapshot in zip(watches, kept, strict=True):
            watch.registered_at = now
            if snapshot is not None:
                self._hear(snapshot)
        return [watch for watch, snapshot in zip(watches, kept, strict=True) if snapshot is None]

    async def _register_or_all(self, watches: Sequence[Watch]) -> Sequence[Watch]:
        """As `_register`; a Redis that does not answer knows nothing of any."""
        try:
            return await self._register(watches)
        except (CacheUnavailable, Overloaded):
            return watches

    async def _ask_store(self, watches: Sequence[Watch]) -> None:
        found = await asyncio.gather(*(self._look_in_store(watch) for watch in watches))
        problems = Counter(problem.type.slug for problem in found if problem)
        if problems:
            _log.warning("waiters could not look", extra={"problems": dict(problems), "asked": len(watches)})

    async def _look_in_store(self, watch: Watch) -> Problem | None:
        try:
            watch.hear(await self._statuses.stored(watch.issued))
        except Problem as problem:
            if problem.type is not UNAVAILABLE:
                watch.fail(problem)
            elif self._watches.get(watch.issued.text) is watch:
                self._turns[watch] = None
            return problem
        return None

    def _hear(self, snapshot: Snapshot) -> None:
        self._finished.put(snapshot)
        watch = self._watches.get(snapshot.id)
        if watch is not None:
            watch.hear(snapshot)

    def _refuse_deleted(self, latest: Snapshot) -> None:
        """Raises Problem 410 for a job that was deleted."""
        if self.is_deleted(latest):
            raise gone()

    def _next_recheck(self) -> float:
        return self._clock.monotonic() + self._recheck_seconds * (0.8 + 0.4 * self._chance())


def _pieces(watches: Sequence[Watch]) -> Iterator[Sequence[Watch]]:
    for start in range(0, len(watches), LOOK_AT_ONCE):
        yield watches[start : start + LOOK_AT_ONCE]


class _Awaited(Hold):
    """One that a coroutine waits for."""

    __slots__ = ("outcome",)

    def __init__(self, known: int | None) -> None:
        super().__init__(known)
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)
