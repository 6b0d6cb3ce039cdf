"""The Protocols of the cache, each cut to one consumer's need.

| key | value | writer → reader | harmless twice because |
|---|---|---|---|
| `job:{id}` | snapshot; terminal up to 1 h, others 10 s | worker, gateway → gateway | lower orders replace nothing |
| `watch:{id}` | gateways that have waiters | gateway → worker's and gateway's tell | a set |
| `gw:<gateway>` | channel of snapshots, wakes waiters | worker, gateway → that gateway | waking twice is waking |

Everything has a time to live; keys of one job share the hash tag `{id}`. Commands made in the same moment travel
together; that is inside the adapters. Losing all of it costs latency, never truth: whoever misses something here asks
the store.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from shared.models.public import Snapshot

TERMINAL_TTL_SECONDS = 3_600
LIVE_TTL_SECONDS = 10
WATCH_TTL_SECONDS = 120
"""Longer than the longest wait and its re-check."""


class Teller(Protocol):
    async def tell(self, snapshot: Snapshot) -> None:
        """Keep the snapshot and publish it to every gateway that watches the job.

        Where a newer one is kept, nothing is changed or published: the watchers have that one. An equal one replaces.
        Telling a terminal snapshot ends the watch. Raises CacheUnavailable; it may have been told all the same.
        """
        ...


class Snapshots(Protocol):
    """What a gateway needs to answer reads and wake its waiters."""

    async def fetch(self, id: str) -> Snapshot | None:
        """What is kept. Raises CacheUnavailable."""
        ...

    async def watch(self, gateway: str, ids: Sequence[str]) -> Sequence[Snapshot | None]:
        """Register `gateway` as watching each job, and read what is kept of it: answers in the order of `ids`.

        Both in one step for each job, so nothing told in between is missed. A job whose terminal snapshot is kept is
        not watched: nothing follows. Raises CacheUnavailable; some may be registered then.
        """
        ...

    async def unwatch(self, gateway: str, id: str) -> None:
        """Wake `gateway` for this job no more. Raises CacheUnavailable."""
        ...

    def listen(self, gateway: str) -> AbstractAsyncContextManager[AsyncIterator[Snapshot]]:
        """Subscribe to the gateway's channel; entering returns when that stands, or raises CacheUnavailable.

        Snapshots come in the order told. A reader too slow for what it holds unread loses the connection. The iterator
        ends with CacheUnavailable when that is lost; whoever listens enters again and registers its waiters anew.
        """
        ...


class Probe(Protocol):
    async def ping(self) -> None:
        """Raises CacheUnavailable."""
        ...
