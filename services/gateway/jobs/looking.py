"""Keeping watches informed: what their jobs have come to, and that this gateway is told of what comes next.

A watch registers this gateway in Redis under the job's id, with all that came in the same moment. Whoever changes the
job publishes its new state on this gateway's one channel. What hears nothing is looked at again every 10–15 s, all in
few round trips, and so is everything after the channel was lost; who was not told of what is found registers anew, and
everyone does now and then. Nobody polls the store: while Redis answers, the store knows more only of a job whose
telling was lost, so it is asked by turns, at a pace that a crowd does not change. Where nobody can tell anything, for
the store does not answer, a watch stays and gets a turn: a crowd that is turned away comes back at once, and keeps the
store from ever answering. What Redis had lost it is given again.

Used by `waiting`, which knows who is held for what.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Protocol

from services.gateway.http.problems import UNAVAILABLE, Problem
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.watches import Watch
from services.gateway.settings import Settings
from shared.cache.contract import Snapshots
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.ids import IssuedId
from shared.models.public import Snapshot

RECHECK_TICK_SECONDS = 1.0
REGISTER_SECONDS = 36.0
"""Between the registrations of a watch, of which a re-check may be late: Redis keeps one, and what it knows of a job
that nobody has begun, for a minute at least."""
LOOK_AT_ONCE = 500
"""Watches that look again in one round trip."""
STORE_LOOKS_A_TICK = 100
"""Watches that ask the store in a tick while Redis answers."""
RECONNECT_SECONDS = 0.5

_log = logging.getLogger("sluice.gateway")


class States(Protocol):
    """What knows the state of what is waited for."""

    async def stored(self, issued: IssuedId) -> Snapshot:
        """By the store. Raises Problem: 410 past retention, 503 when nobody can tell."""
        ...


class Looking:
    """The watches of one gateway process. `chance` is uniform in 0…1 and spreads their looks."""

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
        self._watches: dict[str, Watch] = {}
        self._entering: list[Watch] = []
        self._turns: dict[Watch, None] = {}
        """Who is to ask the store, in order."""
        self._someone_enters = asyncio.Event()

    @property
    def watches(self) -> Iterable[Watch]:
        """All that there are."""
        return self._watches.values()

    def follow(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What must run for as long as there are watches."""
        return (self._listen(), self._enter(), self._recheck())

    def of(self, issued: IssuedId) -> Watch:
        """The job's watch, the one that there is or a new one."""
        watch = self._watches.get(issued.text)
        if watch is None:
            watch = self._watches[issued.text] = Watch(issued, self._next_recheck())
            self._entering.append(watch)
            self._someone_enters.set()
        return watch

    def drop(self, watch: Watch) -> None:
        """Look no more.

        This gateway's name stays in the job's watch set until the finish clears it or it expires: no round trip.
        """
        if self._watches.get(watch.issued.text) is watch:
            del self._watches[watch.issued.text]
            self._turns.pop(watch, None)

    async def inform(self, watch: Watch, *, known: int) -> None:
        """Have it know a state now, of an order that is not below `known`. Raises Problem as `States.stored`."""
        if watch.latest is None:
            await self._register_or_all([watch])
        if watch.latest is None or watch.latest.order < known:
            watch.hear(await self._statuses.stored(watch.issued))

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
                extra = {"fault": type(fault).__name__, "watches": len(self._watches)}
                _log.warning("the wake-up channel is lost", extra=extra)
            await self._clock.sleep(RECONNECT_SECONDS * (0.5 + self._chance()))

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
        await self._restore(watches)

    async def _restore(self, watches: Sequence[Watch]) -> None:
        """Else whoever comes next would ask the store as well: a crowd, once a wait."""
        found = [watch.latest for watch in watches if watch.latest is not None and watch.latest.unattempted]
        try:
            await self._cache.restore(found)
        except (CacheUnavailable, Overloaded) as fault:
            _log.debug("what is waited for was not restored", extra={"fault": type(fault).__name__, "jobs": len(found)})

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

    def _next_recheck(self) -> float:
        return self._clock.monotonic() + self._recheck_seconds * (0.8 + 0.4 * self._chance())


def _pieces(watches: Sequence[Watch]) -> Iterator[Sequence[Watch]]:
    for start in range(0, len(watches), LOOK_AT_ONCE):
        yield watches[start : start + LOOK_AT_ONCE]
