"""Delivering what is due: from memory at once where we have just made it, from the store's due index always.

Owns the slots, one task an attempt. What waits in memory is bounded, over all and for each endpoint; the rest waits in
the store, its `due_at` moved on where it is known that nothing can be sent before. That costs no attempt.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from services.webhooks.attempt import Attempts
from services.webhooks.health import HealthBook, pause_seconds
from services.webhooks.lanes import Lane, Standing, Turn, Turns
from services.webhooks.looks import Looks
from services.webhooks.room import Room
from services.webhooks.settings import Settings
from services.webhooks.shards import Shards
from shared.clock import MILLISECONDS, Clock
from shared.errors import Overloaded, Unavailable
from shared.messaging.wakeup import WakeUp
from shared.models.delivery import Delivery
from shared.storage.contract import Stored
from shared.storage.webhook_contract import Deliveries, delivery_shard

PAGE: Final = 500
"""Deliveries that one look at the store brings."""
SHORT_PAUSE_SECONDS: Final = 5.0
"""What is closed for less waits in memory."""
CROWDED_SECONDS: Final = 20.0
"""What finds no room in memory looks for it again so much later."""
SPREAD_SECONDS: Final = 30.0
"""Over which what was put off comes back."""
MAX_LANES: Final = 20_000
LONGEST_PAUSE_SECONDS: Final = 2.0
"""Between looks: what another process made due waits for no more than that, whatever a look took. One that waits for a
store that stands still takes seconds."""
PAUSE_SHARE: Final = 3
"""Below it, a look that took a tenth of a second is followed by none for three."""
GIVE_BACK_SECONDS: Final = 1.0
MAX_FAILURES: Final = 3
"""In a row, each of which doubles the pause: a store that cannot answer is not helped by being asked."""

_log = logging.getLogger("sluice.webhooks")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is due on our shards as far as we have looked. oldest_at: milliseconds since the epoch."""

    due: int = 0
    oldest_at: int | None = None


class Deliverer:
    """chance: uniform in 0…1. An async task of the app runs `run`, another `look`."""

    def __init__(
        self,
        settings: Settings,
        *,
        turns: Turns,
        deliveries: Deliveries,
        book: HealthBook,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._turns = turns
        self._deliveries = deliveries
        self._book = book
        self._clock = clock
        self._chance = chance
        self._room = Room(settings.backlog)
        self._looks = Looks()
        self._failures = 0
        """Looks in a row that failed."""
        self._active: dict[int, int] = {}
        """Attempts under way, by shard."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake_up = WakeUp(clock)
        self._stopping = False
        self.backlog = Backlog()

    @property
    def in_flight(self) -> int:
        return self._turns.in_flight

    def busy(self, shard: int) -> bool:
        """Whether something of the shard is being sent."""
        return self._active.get(shard, 0) > 0

    def lost(self, shards: Collection[int]) -> None:
        """These are another's now: what waits here is for it to find in the store."""
        endpoints = [endpoint for endpoint in self._turns.lanes if delivery_shard(endpoint) in shards]
        for stored in self._turns.forget(endpoints):
            self._room.leave(stored.value.id)
        for endpoint in endpoints:
            self._book.forget(endpoint)

    async def first_due(self, endpoint: str, tenant: str, shards: Shards) -> int:
        """When a delivery that is made now is due: once its claim is over, if it is sent from memory; else at once.

        Raises StoreUnavailable, Overloaded.
        """
        now = self._clock.now()
        if self._stopping or not shards.holds(endpoint):
            return now
        pause = self._closed_seconds(await self._lane(endpoint, tenant))
        return now + (self._spread(pause) if pause else round(self._settings.claim_seconds * MILLISECONDS))

    def offer(self, stored: Stored[Delivery], shards: Shards) -> None:
        """Send what was just created, if it is ours and there is room for it; else the store brings it."""
        delivery = stored.value
        lane = self._turns.lanes.get(delivery.endpoint)
        if lane is None or self._stopping or not shards.holds(delivery.endpoint) or self._closed_seconds(lane):
            return
        if delivery.due_at is None or delivery.due_at > self._clock.now() + self._settings.claim_seconds * MILLISECONDS:
            return  # put off
        self._put(lane, stored)

    async def run(self, attempts: Attempts, shards: Shards) -> None:
        """Send what has its turn, until cancelled, which ends what is under way."""
        try:
            async with self._wake_up:
                while True:
                    now = self._clock.monotonic()
                    while not self._stopping and (turn := self._turns.next(now)) is not None:
                        self._start(attempts, shards, turn)
                    await self._wake_up.wait(until=self._turns.next_moment())
        finally:
            await self.drain(0.0)

    async def look(self, shards: Shards) -> None:
        """Take what is due from the store, until cancelled."""
        while True:
            began = self._clock.monotonic()
            since = self._looks.since(shards.held, began)
            more = not self._stopping and await self._looked(shards, since)
            now = self._clock.monotonic()
            self._looks.ended(since, now, now - began)
            await self._clock.sleep(self._pause(now - began, more=more))

    async def _looked(self, shards: Shards, since: int) -> bool:
        """Whether there may be more at once."""
        try:
            more = await self._take_due(shards, since)
        except (Unavailable, Overloaded) as fault:
            _log.warning("what is due cannot be read", extra={"fault": type(fault).__name__})
            self._failures = min(self._failures + 1, MAX_FAILURES)
            return False
        self._failures = 0
        return more

    def _pause(self, took: float, *, more: bool) -> float:
        """Until the next look. A store that takes long to answer has other things to do, and all the same is asked."""
        if more:
            return min(took, LONGEST_PAUSE_SECONDS)
        poll = self._settings.poll_seconds
        longest = LONGEST_PAUSE_SECONDS * (1 << max(0, self._failures - 1))
        return max(poll * (0.75 + 0.5 * self._chance()), min(took * PAUSE_SHARE, max(poll, longest)))

    async def stop(self) -> None:
        """Start nothing more."""
        self._stopping = True

    async def drain(self, seconds: float) -> None:
        """Let what is under way end within `seconds`; what does not is interrupted, and comes again by itself."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def give_back(self) -> None:
        """What waits here is due at once for whoever comes after us. Best effort, within a moment."""
        waiting = self._turns.forget(list(self._turns.lanes))
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await asyncio.gather(*(self._put_off(stored, self._clock.now()) for stored in waiting))
        except TimeoutError:
            _log.warning("not everything that waited was given back", extra={"deliveries": len(waiting)})

    async def _take_due(self, shards: Shards, since: int) -> bool:
        """Whether there may be more at once."""
        held, now = shards.held, self._clock.now()
        limit = PAGE + len(self._room)  # what is in memory may be due in the store as well
        found = await self._deliveries.due(held, since=since, until=now, limit=limit) if held else ()
        dues = [each.value.due_at for each in found if each.value.due_at is not None]
        if not since:
            self.backlog = Backlog(len(found), min(dues, default=None))
        new = [each for each in found if each.value.id not in self._room and shards.holds(each.value.endpoint)]
        await self._admit(new)
        self._prune()
        full = len(found) >= limit
        self._looks.saw(held, max(dues) if full else now)
        return full and bool(new)

    async def _admit(self, found: Sequence[Stored[Delivery]]) -> None:
        """Let what may be sent soon wait here, and put off the rest."""
        places = {(each.value.endpoint, each.value.tenant) for each in found}
        await asyncio.gather(*(self._lane(*place) for place in places))
        later = []
        for stored in found:
            lane = self._turns.lane(stored.value.endpoint, stored.value.tenant)
            if (pause := self._closed_seconds(lane)) > 0:
                later.append(self._put_off(stored, self._clock.now() + self._spread(pause)))
            elif stored.value.id not in self._room:
                self._put(lane, stored)
        await asyncio.gather(*later)

    def _closed_seconds(self, lane: Lane) -> float:
        """For how long nothing more of the lane is to wait in memory; 0: it may."""
        pause = pause_seconds(lane, self._clock.monotonic())
        if pause > SHORT_PAUSE_SECONDS:
            return pause
        if lane.full:
            return SHORT_PAUSE_SECONDS
        slow = lane.standing is not Standing.PROVEN
        room = self._room.open_to(lane.tenant, slow=slow) or (slow and self._room.yielding(lane.tenant))
        return 0.0 if room else CROWDED_SECONDS

    async def _lane(self, endpoint: str, tenant: str) -> Lane:
        await self._book.load(self._turns.lane(endpoint, tenant))
        return self._turns.lane(endpoint, tenant)  # it may have been forgotten meanwhile

    def _put(self, lane: Lane, stored: Stored[Delivery]) -> None:
        """Let it wait here. If the one that is to make room for it has all under way, the store brings it again."""
        slow = lane.standing is not Standing.PROVEN
        if not self._room.open_to(lane.tenant, slow=slow):
            ousted = self._turns.oust(self._room.yielding(lane.tenant))
            if ousted is None:
                return
            self._room.leave(ousted.value.id)  # it is due in the store, or will be when its claim is over
        self._room.enter(stored.value.id, lane.tenant, slow=slow)
        self._turns.put(lane, stored, self._clock.monotonic())
        self._wake_up.set()

    async def _put_off(self, stored: Stored[Delivery], until: int) -> None:
        try:
            await self._deliveries.update(stored.value.put_off(until), stored.version)
        except (Unavailable, Overloaded) as fault:
            _log.warning(
                "a delivery was not put off", extra={"delivery": stored.value.id, "fault": type(fault).__name__}
            )

    def _spread(self, seconds: float) -> int:
        return round((seconds + self._chance() * SPREAD_SECONDS) * MILLISECONDS)

    def _start(self, attempts: Attempts, shards: Shards, turn: Turn) -> None:
        shard = delivery_shard(turn.lane.endpoint)
        self._active[shard] = self._active.get(shard, 0) + 1
        task = asyncio.create_task(self._attempt(attempts, shards, turn), name="delivery")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("an attempt failed for a fault of ours; it comes again", exc_info=fault)

    async def _attempt(self, attempts: Attempts, shards: Shards, turn: Turn) -> None:
        lane = turn.lane
        try:
            if shards.holds(lane.endpoint):
                await attempts.make(lane, turn.stored)
            else:
                await self._put_off(turn.stored, self._clock.now())  # for whoever has it now to find
        finally:
            now = self._clock.monotonic()
            self._active[delivery_shard(lane.endpoint)] -= 1
            self._room.leave(turn.stored.value.id)
            self._turns.ended(turn, now)
            self._wake_up.set()
        if pause_seconds(lane, now) > SHORT_PAUSE_SECONDS:
            await self._park(lane, now)

    async def _park(self, lane: Lane, now: float) -> None:
        """The lane has closed for a while: nothing of it waits in memory."""
        waiting = lane.empty()
        try:
            until = (self._clock.now() + self._spread(pause_seconds(lane, now)) for _ in waiting)
            await asyncio.gather(*map(self._put_off, waiting, until))
        finally:
            for stored in waiting:
                self._room.leave(stored.value.id)

    def _prune(self) -> None:
        """Forget lanes that have nothing to remember, once there are too many."""
        if len(self._turns.lanes) > MAX_LANES:
            now = self._clock.monotonic()
            idle = [each.endpoint for each in self._turns.lanes.values() if each.idle and not pause_seconds(each, now)]
            self._turns.forget(idle)
            for endpoint in idle:
                self._book.forget(endpoint)
