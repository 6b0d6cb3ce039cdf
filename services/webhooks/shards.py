"""Which endpoints are ours: shards leased among the instances that live, by the store's clock.

Every instance keeps a member's lease. Among the members that live each shard has one that it belongs to (rendezvous
hashing: who comes or goes moves only its own share). Who holds a shard that belongs to another finishes what it sends
and drops it; who it belongs to takes it once it is free or its lease has lapsed. So one instance at a time sends to an
endpoint, and its limits and its breaker are exact.

A holder counts its lease from before it asked for it, on its own clock that goes on while it is frozen: it stops before
anybody else may start.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.storage.contract import Stored, Version
from shared.storage.webhook_contract import DELIVERY_SHARDS, Lease, Leases, delivery_shard

MEMBERS: Final = "webhooks-members"
SHARDS: Final = "webhooks-shards"
RENEWALS_A_LEASE: Final = 5
LONG_GONE: Final = 20.0
"""Leases after which a member that went without a word is struck off."""

_log = logging.getLogger("sluice.webhooks")


@dataclass(slots=True)
class _Held:
    version: Version
    until: float
    """Monotonic seconds."""


def owner_of(shard: int, members: Iterable[str]) -> str:
    """Whom the shard belongs to, of these (at least one)."""
    return max(members, key=lambda member: hashlib.sha256(f"{shard}\0{member}".encode()).digest())


class Shards:
    """
    seconds: of a lease.
    busy: whether something of the shard is being sent.
    lost: called with the shards that are no longer ours.
    """

    def __init__(
        self,
        leases: Leases,
        instance: str,
        clock: Clock,
        *,
        seconds: float,
        busy: Callable[[int], bool],
        lost: Callable[[set[int]], None],
    ) -> None:
        self._leases = leases
        self._instance = instance
        self._clock = clock
        self._seconds = seconds
        self._busy = busy
        self._lost = lost
        self._member: Version | None = None
        self._held: dict[int, _Held] = {}
        self._leaving: set[int] = set()

    @property
    def held(self) -> frozenset[int]:
        """Those from which something may be sent now."""
        now = self._clock.monotonic()
        return frozenset(n for n, each in self._held.items() if now < each.until and n not in self._leaving)

    def holds(self, endpoint: str) -> bool:
        shard = delivery_shard(endpoint)
        found = self._held.get(shard)
        return found is not None and shard not in self._leaving and self._clock.monotonic() < found.until

    async def run(self) -> None:
        """Keep what is ours until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(self._seconds / RENEWALS_A_LEASE)

    async def look(self) -> None:
        """A turn, or none while the store does not answer."""
        try:
            await self.turn()
        except (Unavailable, Overloaded) as fault:
            _log.warning("the shards cannot be looked at", extra={"fault": type(fault).__name__})
            self._drop_lapsed()

    async def turn(self) -> None:
        """Renew, take and give back. Raises StoreUnavailable, Overloaded."""
        self._drop_lapsed()
        members, shards = await asyncio.gather(self._leases.all(MEMBERS), self._leases.all(SHARDS))
        await self._stay(members)
        alive = {each.value.owner for each in members if not _lapsed(each)} | {self._instance}
        known = {int(each.value.name): each for each in shards}
        await asyncio.gather(*(self._settle(n, owner_of(n, alive), known.get(n)) for n in range(DELIVERY_SHARDS)))

    async def release(self) -> None:
        """Give back everything, so that others need not wait for it to lapse. Best effort."""
        held, self._held = self._held, {}
        self._lost(set(held))
        drops = [self._leases.drop(self._lease(SHARDS, str(n)), each.version) for n, each in held.items()]
        if self._member is not None:
            drops.append(self._leases.drop(self._lease(MEMBERS, self._instance), self._member))
        for result in await asyncio.gather(*drops, return_exceptions=True):
            if isinstance(result, Unavailable | Overloaded):
                _log.warning("a shard was not given back", extra={"fault": type(result).__name__})

    async def _stay(self, members: Sequence[Stored[Lease]]) -> None:
        mine = next((each.version for each in members if each.value.owner == self._instance), None)
        result = await self._leases.take(self._lease(MEMBERS, self._instance), mine)
        self._member = result if isinstance(result, Version) else None
        for each in members:
            if each.idle_seconds > LONG_GONE * each.value.seconds:
                await self._leases.drop(each.value, each.version)

    async def _settle(self, shard: int, owner: str, known: Stored[Lease] | None) -> None:
        mine = self._held.get(shard)
        if mine is not None:
            if known is not None and known.value.owner == self._instance:
                mine.version = known.version  # a renewal whose answer was lost may have been applied
            await self._keep(shard, mine, owner == self._instance)
        elif owner == self._instance and (known is None or _lapsed(known) or known.value.owner == self._instance):
            await self._take(shard, None if known is None else known.version)

    async def _keep(self, shard: int, mine: _Held, ours: bool) -> None:
        if not ours:
            self._leaving.add(shard)
            if not self._busy(shard):
                await self._leases.drop(self._lease(SHARDS, str(shard)), mine.version)
                self._lose(shard)
                return
        else:
            self._leaving.discard(shard)
        await self._take(shard, mine.version)

    async def _take(self, shard: int, held: Version | None) -> None:
        until = self._clock.monotonic() + self._seconds
        result = await self._leases.take(self._lease(SHARDS, str(shard)), held)
        if isinstance(result, Version):
            if shard not in self._held:
                _log.info("a shard is ours", extra={"shard": shard})
            self._held[shard] = _Held(result, until)
        else:
            self._lose(shard)

    def _drop_lapsed(self) -> None:
        now = self._clock.monotonic()
        for shard in [n for n, each in self._held.items() if now >= each.until]:
            self._lose(shard)

    def _lose(self, shard: int) -> None:
        self._leaving.discard(shard)
        if self._held.pop(shard, None) is not None:
            _log.info("a shard is ours no more", extra={"shard": shard})
            self._lost({shard})

    def _lease(self, group: str, name: str) -> Lease:
        return Lease(group, name, self._instance, self._seconds)


def _lapsed(stored: Stored[Lease]) -> bool:
    return stored.idle_seconds >= stored.value.seconds
