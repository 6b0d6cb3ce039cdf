"""Turns a `Source` into calls of a `Handle`, and verdicts into acknowledgements. Whatever reads topics goes through it.

    consumer = Consumer(source, [Lane("jobs.worker", 4), Lane("bulk.worker")], handle, capacity=64, clock=clock)
    task group: consumer.run()
    …
    await consumer.drain(deadline_seconds=7)        then run() returns

Messages are shared out by `lanes`, judged by `judge`, their leases kept by `leases`. Everything that is held has a task
of ours behind it, or waits for one, for `PATIENCE_SECONDS` at most.
"""

import asyncio
import logging
import math
import random
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.clock import Clock
from shared.errors import BrokerUnavailable
from shared.messaging.backoff import Draw, full_jitter
from shared.messaging.contract import MAX_LEASE_SECONDS, Acknowledge, Delivery, Handle, Redeliver, Source, Verdict
from shared.messaging.judge import Fault, judged
from shared.messaging.lanes import Lane, LaneState, Pull, Shares
from shared.messaging.leases import Leases
from shared.messaging.wakeup import WakeUp

_log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 1.0
"""How long a message that came when every slot was taken may wait for one before others get it."""
LAST_SECONDS: Final = 1.0
"""What a drain may take beyond its deadline, to end what runs and give back what is held."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a consumer asks and waits."""

    pulls: int = 4
    """Of a lane, listening at a time: what they begin out of step shortens the delivery (see `pubsub.source`)."""
    wait_seconds: float = 1.5
    """Of one pull. Bounds what a drain waits for pulls, and for how long a killed process's pulls swallow messages."""
    lease_seconds: int = 10
    """No longer than the ack deadline of any of the subscriptions."""
    backoff_seconds: float = 0.1
    """The first pause of a lane whose pulls fail; it doubles up to the next number."""
    backoff_cap_seconds: float = 5.0


@dataclass(slots=True)
class Counters:
    """What became of one lane's messages and calls since the start, and what is held now."""

    pulled: int = 0
    acknowledged: int = 0
    redelivered: int = 0
    """By verdict or fault."""
    faults: int = 0
    """Handles that raised."""
    released: int = 0
    """Given back unhandled: no slot in time, or draining."""
    settle_failures: int = 0
    """The broker will redeliver these although they were handled."""
    pull_failures: int = 0
    in_flight: int = 0
    """Held now: handled, settled, or waiting for a slot."""
    idle_pulls: int = 0
    """Pulls that waited and brought nothing: there was nothing."""
    newest_at: int = 0
    """Publish time of the newest message pulled, in milliseconds since the epoch; 0 before the first."""


@dataclass(slots=True, eq=False)
class _Held:
    delivery: Delivery
    state: "LaneState[_Held]"
    arrived: float
    started: float = field(default=math.inf)


class Consumer:
    """Consumes lanes within one capacity: messages in flight, over all lanes.

    `run` lasts until `drain` has ended; whoever owns it cancels it to end at once, leaving leases to lapse.
    """

    def __init__(
        self,
        source: Source,
        lanes: Sequence[Lane],
        handle: Handle,
        *,
        capacity: int,
        clock: Clock,
        pace: Pace = Pace(),
        draw: Draw = random.random,
    ) -> None:
        self._source, self._handle, self._clock, self._pace, self._draw = source, handle, clock, pace, draw
        self._shares = Shares[_Held](lanes, capacity=capacity, pulls=pace.pulls)
        self._leases = Leases(source, clock, lease_seconds=pace.lease_seconds)
        self._counters = {lane.subscription: Counters() for lane in lanes}
        self._failures = dict.fromkeys(self._counters, 0)
        self._held: dict[str, _Held] = {}
        self._wake_up = WakeUp(clock)
        self._taking = True
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet, self._drained = asyncio.Event(), asyncio.Event()

    @property
    def counters(self) -> Mapping[str, Counters]:
        """By subscription; they go on counting."""
        return self._counters

    def oldest_at(self, subscription: str) -> int | None:
        """Publish time of the oldest message that is held, in milliseconds since the epoch; None if none is."""
        held = (each.delivery for each in self._held.values())
        return min((each.published_at for each in held if each.subscription == subscription), default=None)

    @property
    def lease_failures(self) -> int:
        """Renewals that failed since the start."""
        return self._leases.failures

    async def run(self) -> None:
        """Consume until `drain` is through. Raises only for a fault of ours, as an ExceptionGroup."""
        async with asyncio.TaskGroup() as group, self._wake_up:
            self._group = group
            standing = [group.create_task(self._share_out()), group.create_task(self._leases.keep())]
            await self._drained.wait()
            for task in standing:
                task.cancel()

    def stop_taking(self) -> None:
        """Pull no more, and give back what comes from the pulls in flight. What is handled goes on."""
        self._taking = False
        self._wake_up.set()

    def resume_taking(self) -> None:
        """Undo `stop_taking`."""
        self._taking = True
        self._wake_up.set()

    async def drain(self, *, deadline_seconds: float) -> None:
        """Stop taking, wait up to `deadline_seconds` for what is handled, then cancel that and give it back.

        Returns within the deadline and LAST_SECONDS. A handle has to let its cancellation through.
        """
        self.stop_taking()
        sleeper = asyncio.create_task(self._clock.sleep(deadline_seconds), name="drain deadline")
        quiet = asyncio.create_task(self._until_quiet(), name="drain")
        await asyncio.wait({sleeper, quiet}, return_when=asyncio.FIRST_COMPLETED)
        cut_short = any(state.pulls for state in self._shares.lanes)
        for task in (sleeper, quiet, *self._tasks):
            task.cancel()
        await asyncio.gather(sleeper, quiet, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_SECONDS / 2)
        # Pulls that are cut short go on at the broker for as long as they would have waited, and swallow what they see.
        await self._give_back_the_rest(math.ceil(self._pace.wait_seconds) if cut_short else 0)
        self._drained.set()

    async def _until_quiet(self) -> None:
        while self._tasks:
            self._quiet.clear()
            await self._quiet.wait()

    async def _give_back_the_rest(self, after_seconds: int) -> None:
        rest = tuple(self._held.values())
        try:
            async with asyncio.timeout(LAST_SECONDS / 2):
                await self._release(rest, after_seconds)
        except TimeoutError:
            _log.warning("%d messages could not be given back in time; their leases lapse", len(rest))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._disown)

    def _disown(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._quiet.set()

    async def _share_out(self) -> None:
        """Starts whatever may start, each time that something changed or a moment has come."""
        while True:
            now = self._clock.monotonic()
            if self._taking:
                self._start_waiting(now)
                self._start_pulls(now)
            self._give_back_waiting(now)
            await self._wake_up.wait(until=self._next_moment(now))

    def _next_moment(self, now: float) -> float | None:
        moments = [state.waiting[0].arrived + PATIENCE_SECONDS for state in self._shares.lanes if state.waiting]
        if self._taking and (moment := self._shares.next_moment(now)) is not None:
            moments.append(moment)
        return min(moments, default=None)

    def _start_pulls(self, now: float) -> None:
        while (chosen := self._shares.next_pull(now)) is not None:
            state, limit = chosen
            pull = Pull(limit, now)
            self._shares.began(state, pull)
            self._own(self._pull(state, pull))

    def _start_waiting(self, now: float) -> None:
        while (state := self._shares.next_waiting()) is not None:
            self._start(state.waiting.popleft(), now)

    def _give_back_waiting(self, now: float) -> None:
        given_up = []
        for state in self._shares.lanes:
            while state.waiting and (not self._taking or state.waiting[0].arrived + PATIENCE_SECONDS <= now):
                given_up.append(state.waiting.popleft())
        if given_up:
            self._own(self._release(given_up))

    async def _pull(self, state: LaneState[_Held], pull: Pull) -> None:
        subscription = state.lane.subscription
        try:
            deliveries = await self._source.pull(subscription, limit=pull.limit, wait_seconds=self._pace.wait_seconds)
        except BrokerUnavailable as trouble:
            self._failed(state, pull, trouble)
        except asyncio.CancelledError:
            self._shares.failed(state, pull, math.inf)
            raise
        else:
            self._recovered(subscription)
            self._arrived(state, pull, deliveries)
        self._wake_up.set()

    def _failed(self, state: LaneState[_Held], pull: Pull, trouble: BrokerUnavailable) -> None:
        subscription = state.lane.subscription
        if not self._failures[subscription]:
            _log.warning("Pulling fails: %s", trouble, extra={"subscription": subscription})
        self._counters[subscription].pull_failures += 1
        pause = full_jitter(
            self._failures[subscription],
            base_seconds=self._pace.backoff_seconds,
            cap_seconds=self._pace.backoff_cap_seconds,
            draw=self._draw,
        )
        self._failures[subscription] += 1
        self._shares.failed(state, pull, self._clock.monotonic() + pause)

    def _recovered(self, subscription: str) -> None:
        if self._failures[subscription]:
            _log.info("Pulling works again", extra={"subscription": subscription})
            self._failures[subscription] = 0

    def _arrived(self, state: LaneState[_Held], pull: Pull, deliveries: Sequence[Delivery]) -> None:
        now = self._clock.monotonic()
        self._shares.ended(state, pull, len(deliveries), now)
        counters = self._counters[state.lane.subscription]
        counters.pulled += len(deliveries)
        counters.in_flight += len(deliveries)
        counters.idle_pulls += not deliveries and now - pull.started >= self._pace.wait_seconds / 2
        counters.newest_at = max(counters.newest_at, *(each.published_at for each in deliveries), 0)
        room = self._shares.running_room() + len(deliveries) if self._taking else 0
        for delivery in deliveries:
            held = self._held[delivery.ack_id] = _Held(delivery, state, now)
            self._leases.hold(delivery)
            if room > 0:
                self._start(held, now)
                room -= 1
            else:
                state.waiting.append(held)

    def _start(self, held: _Held, now: float) -> None:
        held.started = now
        self._own(self._work(held))

    async def _work(self, held: _Held) -> None:
        verdict = await judged(self._handle, held.delivery, self._draw)
        await self._settle(held, verdict)
        self._forget(held)

    async def _settle(self, held: _Held, verdict: Verdict | Fault) -> None:
        delivery = held.delivery
        counters = self._counters[delivery.subscription]
        counters.faults += isinstance(verdict, Fault)
        self._leases.let_go(delivery)
        try:
            match verdict:
                case Acknowledge():
                    await self._source.acknowledge(delivery)
                    counters.acknowledged += 1
                case Redeliver(after_seconds) | Fault(after_seconds):
                    seconds = min(MAX_LEASE_SECONDS, max(0, math.ceil(after_seconds)))
                    await self._source.extend([delivery], seconds=seconds)
                    counters.redelivered += 1
        except BrokerUnavailable:
            counters.settle_failures += 1

    async def _release(self, given_up: Iterable[_Held], after_seconds: int = 0) -> None:
        held = [each for each in given_up if each.delivery.ack_id in self._held]
        for each in held:
            self._leases.let_go(each.delivery)
        try:
            await self._source.extend([each.delivery for each in held], seconds=after_seconds)
        except BrokerUnavailable:
            _log.warning("%d messages could not be given back; their leases lapse", len(held))
        for each in held:
            self._counters[each.delivery.subscription].released += self._forget(each)

    def _forget(self, held: _Held) -> bool:
        """Free its slot. False when that was done before."""
        if self._held.pop(held.delivery.ack_id, None) is None:
            return False
        self._counters[held.delivery.subscription].in_flight -= 1
        slot_seconds = max(0.0, self._clock.monotonic() - held.started)
        self._shares.settled(held.state, slot_seconds)
        self._wake_up.set()
        return True
