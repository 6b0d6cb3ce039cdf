"""What running jobs report, for the clients who follow it here: they are told that there is more, and fetch it.

Nothing is held here but who follows what. Each client reads on from where it is, as fast as it can take it, from the
stream in Redis, which is bounded: a slow one costs no memory. However many are at one place of a stream, Redis is asked
once. Used by `events`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from services.gateway.settings import Settings
from shared.cache.contract import Position, StreamEntry, Streams
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded

ENTRIES_AT_ONCE = 16
"""A mebibyte at most."""
LOOK_AGAIN_SECONDS = 10.0
"""Hints may be lost, and a flushed Redis knows no followers."""
RECONNECT_SECONDS = 0.5

_log = logging.getLogger("sluice.gateway")

_Reading = asyncio.Task[Sequence[StreamEntry]]


@dataclass(slots=True)
class Feed:
    """One job's stream, for everyone here who follows it."""

    id: str
    followers: int = 0
    hints: int = 0
    """Grows each time that there may be more."""
    bells: "set[asyncio.Future[None]]" = field(default_factory=set)
    readings: dict[Position | None, _Reading] = field(default_factory=dict)

    def hint(self) -> None:
        self.hints += 1
        for bell in self.bells:
            if not bell.done():
                bell.set_result(None)

    @contextmanager
    def ringing(self, bell: "asyncio.Future[None]") -> Iterator[None]:
        """`bell` is done at the next hint in the block."""
        self.bells.add(bell)
        try:
            yield
        finally:
            self.bells.discard(bell)


class Feeds:
    """Of one gateway process. chance: uniform in 0…1. `listen` and `look_again` must be running."""

    def __init__(self, settings: Settings, *, streams: Streams, clock: Clock, chance: Callable[[], float]) -> None:
        self._gateway = settings.instance
        self._streams = streams
        self._clock = clock
        self._chance = chance
        self._feeds: dict[str, Feed] = {}

    @asynccontextmanager
    async def following(self, id: str) -> AsyncIterator[Feed]:
        """Follow a job's stream while the block lasts. What is reported from its beginning on is hinted at."""
        feed = self._feeds.setdefault(id, Feed(id))
        feed.followers += 1
        try:
            if feed.followers == 1:
                await self._follow([id])
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers:
                del self._feeds[id]

    async def after(self, feed: Feed, position: Position | None) -> Sequence[StreamEntry]:
        """Up to ENTRIES_AT_ONCE entries behind `position`. Raises CacheUnavailable, Overloaded."""
        reading = feed.readings.get(position)
        if reading is None:
            read = self._streams.after(feed.id, position, limit=ENTRIES_AT_ONCE)
            reading = feed.readings[position] = asyncio.ensure_future(read)
            reading.add_done_callback(partial(_settled, feed, position))
        return await asyncio.shield(reading)

    async def listen(self) -> None:
        """Hear this gateway's hints until cancelled; after their channel was lost there may be more of everything."""
        while True:
            try:
                async with self._streams.hints(self._gateway) as hinted:
                    await self._follow_all()
                    async for id in hinted:
                        if (followed := self._feeds.get(id)) is not None:
                            followed.hint()
            except (CacheUnavailable, Overloaded) as fault:
                _log.warning("streams are not followed", extra={"fault": type(fault).__name__})
            await self._clock.sleep(RECONNECT_SECONDS * (0.5 + self._chance()))

    async def look_again(self) -> None:
        """Stay registered as a follower, and have everyone look whether there is more, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_AGAIN_SECONDS * (0.8 + 0.4 * self._chance()))
            await self._follow_all()

    async def _follow_all(self) -> None:
        await self._follow(list(self._feeds))
        for feed in self._feeds.values():
            feed.hint()

    async def _follow(self, ids: Sequence[str]) -> None:
        with suppress(CacheUnavailable, Overloaded):  # `listen` does it again once Redis is back
            await self._streams.follow(self._gateway, ids)


def _settled(feed: Feed, position: Position | None, reading: _Reading) -> None:
    del feed.readings[position]
    if not reading.cancelled():
        reading.exception()  # looked at, for whoever asked may have left
