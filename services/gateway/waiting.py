"""Holding clients until a job changes: cheap to hold, quick to wake, and never dependent on being woken.

A waiter registers this gateway in Redis under the job's id and waits on a future. Whoever changes the job publishes its
new state on this gateway's one channel. A waiter that hears nothing looks again every 10–15 s, all of them in few round
trips, and so does everyone after the channel was lost. Nobody polls the store.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from services.gateway.finished import Finished
from services.gateway.problems import Problem, gone, unavailable
from services.gateway.settings import Settings
from services.gateway.status import Statuses
from shared.cache.contract import Snapshots
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.ids import IssuedId
from shared.models.public import Snapshot

RECHECK_TICK_SECONDS = 1.0
LOOK_AT_ONCE = 500
"""Waiters that look again in one round trip."""
RECONNECT_SECONDS = 0.5

_log = logging.getLogger("sluice.gateway")


@dataclass(slots=True)
class _Watch:
    """Everyone on this gateway who waits for one job."""

    issued: IssuedId
    recheck_at: float
    holders: int = 0
    latest: Snapshot | None = None
    waiters: set[asyncio.Future[None]] = field(default_factory=set)

    def hear(self, snapshot: Snapshot) -> None:
        if self.latest is None or snapshot.order > self.latest.order:
            self.latest = snapshot
            self.wake()

    def wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


class Held:
    """A request that is held for as long as it likes, and told each time that its job has changed."""

    def __init__(self, watch: _Watch, draining: Callable[[], bool]) -> None:
        self._watch = watch
        self._draining = draining

    @property
    def latest(self) -> Snapshot:
        """The newest state that is known."""
        assert self._watch.latest is not None
        return self._watch.latest

    @property
    def draining(self) -> bool:
        """The gateway leaves: end soon."""
        return self._draining()

    @contextmanager
    def ringing(self, bell: "asyncio.Future[None]") -> Iterator[None]:
        """`bell` is done as soon as `latest` or `draining` changes in the block."""
        self._watch.waiters.add(bell)
        try:
            yield
        finally:
            self._watch.waiters.discard(bell)


class Waiting:
    """The waiters of one gateway process. `chance` is uniform in 0…1 and spreads their looks."""

    def __init__(
        self,
        settings: Settings,
        *,
        cache: Snapshots,
        statuses: Statuses,
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
        self._watches: dict[str, _Watch] = {}
        self._held = 0
        self._draining = False

    @property
    def count(self) -> int:
        """Requests that are held now."""
        return self._held

    async def wait(
        self, issued: IssuedId, *, seconds: float, known: int | None = None, fresh: Snapshot | None = None
    ) -> Snapshot:
        """The job's state as soon as it is good enough, else the current one after `seconds`.

        known: the order of the state that the client has; any higher one is good enough. None: only a terminal one is.
        fresh: the state just made by the caller, so that nobody need be asked for it.
        Raises Problem: 410 past retention, 503 when too many are held or when nobody can tell the state.
        """
        with self._hold(issued) as watch:
            if fresh is not None:
                watch.hear(fresh)
            await self._enter(watch)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._until(watch, known)
            latest = watch.latest
        if latest is None or latest.order < (known or 0):
            return await self._statuses.stored(issued)
        self._refuse_deleted(latest)
        return latest

    @asynccontextmanager
    async def held(self, issued: IssuedId, *, known: int = 0) -> AsyncIterator[Held]:
        """Hold a request while the block lasts. known: the order of the state that the client has.

        Raises Problem as `wait`, before the block begins.
        """
        with self._hold(issued) as watch:
            await self._enter(watch)
            if watch.latest is not None and watch.latest.order < known:
                watch.hear(await self._statuses.stored(issued))
            if watch.latest is not None:
                self._refuse_deleted(watch.latest)
            yield Held(watch, lambda: self._draining)

    def release_all(self) -> None:
        """Answer every held request with the state as it is, and hold none from here on."""
        self._draining = True
        for watch in self._watches.values():
            watch.wake()

    async def listen(self) -> None:
        """Hear the gateway's channel until cancelled; when it is lost, enter again and look at everything anew.

        What was deleted meanwhile was not heard, so nothing that was held is to be trusted.
        """
        while True:
            try:
                async with self._cache.listen(self._gateway) as told:
                    self._finished.clear()
                    await self._look_at(list(self._watches.values()))
                    async for snapshot in told:
                        self._hear(snapshot)
            except (CacheUnavailable, Overloaded) as fault:
                _log.warning("the wake-up channel is lost", extra={"fault": type(fault).__name__, "held": self._held})
            await self._clock.sleep(RECONNECT_SECONDS * (0.5 + self._chance()))

    async def recheck(self) -> None:
        """Look again, for every job whose time has come, until cancelled."""
        while True:
            await self._clock.sleep(RECHECK_TICK_SECONDS)
            now = self._clock.monotonic()
            await self._look_at([watch for watch in self._watches.values() if watch.recheck_at <= now])

    def _refuse_deleted(self, latest: Snapshot) -> None:
        """Raises Problem 410 for a job that was deleted, also if Redis, where it comes from, has yet to hear of it."""
        if latest.deleted or self._finished.is_deleted(latest.id):
            raise gone()

    @contextmanager
    def _hold(self, issued: IssuedId) -> Iterator[_Watch]:
        """Count the request and its watch; the last to leave takes the watch away. Raises Problem 503 when full.

        This gateway's name stays in the job's watch set until the finish clears it or it expires: no round trip.
        """
        if self._held >= self._max_held:
            raise unavailable("Too many requests are held. Ask again without waiting, or later.")
        watch = self._watches.get(issued.text)
        if watch is None:
            watch = self._watches[issued.text] = _Watch(issued, self._next_recheck())
        watch.holders += 1
        self._held += 1
        try:
            yield watch
        finally:
            self._held -= 1
            watch.holders -= 1
            if not watch.holders:
                del self._watches[issued.text]

    async def _enter(self, watch: _Watch) -> None:
        """Register before looking: what is told in between is heard."""
        if watch.holders == 1:
            await self._register([watch])
        if watch.latest is None:
            watch.hear(await self._statuses.stored(watch.issued))

    async def _until(self, watch: _Watch, known: int | None) -> None:
        while not self._draining and not _good_enough(watch.latest, known):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            watch.waiters.add(waiter)
            try:
                await waiter
            finally:
                watch.waiters.discard(waiter)

    async def _look_at(self, watches: Sequence[_Watch]) -> None:
        """Register again and look, in pieces; what Redis does not know, the store does."""
        for start in range(0, len(watches), LOOK_AT_ONCE):
            piece = watches[start : start + LOOK_AT_ONCE]
            silent = await self._register(piece)
            await asyncio.gather(*(self._look_in_store(watch) for watch in silent))

    async def _register(self, watches: Sequence[_Watch]) -> Sequence[_Watch]:
        """Have this gateway told of these jobs; returns those that Redis knows nothing of."""
        for watch in watches:
            watch.recheck_at = self._next_recheck()
        try:
            kept = await self._cache.watch(self._gateway, [watch.issued.text for watch in watches])
        except (CacheUnavailable, Overloaded):
            return watches
        for snapshot in kept:
            if snapshot is not None:
                self._hear(snapshot)
        return [watch for watch, snapshot in zip(watches, kept, strict=True) if snapshot is None]

    async def _look_in_store(self, watch: _Watch) -> None:
        try:
            watch.hear(await self._statuses.stored(watch.issued))
        except Problem as problem:
            _log.warning("a waiter could not look again", extra={"problem": problem.type.slug})

    def _hear(self, snapshot: Snapshot) -> None:
        self._finished.put(snapshot)
        watch = self._watches.get(snapshot.id)
        if watch is not None:
            watch.hear(snapshot)

    def _next_recheck(self) -> float:
        return self._clock.monotonic() + self._recheck_seconds * (0.8 + 0.4 * self._chance())


def _good_enough(snapshot: Snapshot | None, known: int | None) -> bool:
    if snapshot is None:
        return False
    return snapshot.terminal or (known is not None and snapshot.order > known)
