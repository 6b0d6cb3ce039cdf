"""Which shards this process has: a lease that it renews, and its part of the one allotment of shards.

Used by the schedulers, for timers, and by the webhooks service, for deliveries. Several processes side by side so share
the work without doing it twice; one that is killed or frozen loses its shards to the others once its lease has lapsed,
by the store's time. For itself it stops earlier, by its own clock and counted from before the renewal was sent, so that
it has stopped by when others may begin. What it did in between all the same, frozen between looking and doing, meets
preconditions.

A process that could not renew in time, or does not know whether it did, begins a new term and has nothing until it is
allotted something again. So all that it does when idle is one small write and two reads in a beat.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

from shared.clock import MILLISECONDS, Clock
from shared.errors import CommitUnknown, Overloaded, StoreUnavailable, Unavailable
from shared.storage.contract import Stored, Version
from shared.storage.shard_leases import Allotment, ShardLeases, Term
from shared.tenure.division import divided, left

BEATS: Final = 3
"""In which a lease is renewed before it lapses."""
TRUSTED: Final = 0.8
"""The part of a lease for which its holder trusts it: the rest is for clocks that do not run alike."""
MAX_ROUNDS: Final = 4
"""Of changing the allotment against others that change it as well, in one beat."""
KEPT_SECONDS: Final = 86_400
"""For which the document of a lapsed lease may stay."""
LEAVE_SECONDS: Final = 1.0

_log = logging.getLogger("sluice.tenure")


class Tenure:
    """One process among those that are there.

    shards: how many there are to share. lease_seconds: a process that was silent for so long has lost its shards.
    draw_term: a random word, as an id. chance: uniform in 0…1, keeps processes apart.
    busy: whether something of a shard is under way; one that is to go is kept, and left alone, until that has ended.
    lost: called with the shards that are another's now.
    """

    def __init__(
        self,
        instance: str,
        leases: ShardLeases,
        clock: Clock,
        *,
        shards: int,
        lease_seconds: int,
        draw_term: Callable[[], str],
        chance: Callable[[], float],
        busy: Callable[[int], bool] = lambda shard: False,
        lost: Callable[[Collection[int]], None] = lambda shards: None,
    ) -> None:
        self._instance = instance
        self._leases = leases
        self._clock = clock
        self._count = shards
        self._lease_seconds = lease_seconds
        self._draw_term = draw_term
        self._chance = chance
        self._busy = busy
        self._lost = lost
        self._term = draw_term()
        self._held: Version | None = None
        self._doubtful = False
        self._trusted_until = 0.0
        self._shards: frozenset[int] = frozenset()
        self._known: frozenset[int] = frozenset()
        """Those that may have to be told lost: they were ours when we last knew."""
        self._first = True
        self._turning = asyncio.Lock()
        self._leaving = False

    @property
    def shards(self) -> frozenset[int]:
        """Those that are this process's at this moment."""
        return self._shards if self._clock.monotonic() < self._trusted_until else frozenset()

    async def run(self) -> None:
        """Be there until cancelled."""
        while True:
            async with self._turning:
                if not self._leaving:
                    await self._beat()
            await self._clock.sleep(self._lease_seconds / BEATS * (0.8 + 0.2 * self._chance()))

    async def leave(self) -> None:
        """Hand the shards to those that stay. Where that fails, they take them when the lease has lapsed."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS), self._turning:
                self._leaving = True
                await self._hand_over()
        except (Unavailable, Overloaded, TimeoutError) as fault:
            _log.warning("the shards were not handed over", extra={"fault": type(fault).__name__})

    async def _beat(self) -> None:
        try:
            if not await self._renewed():
                return
            there = await self._there()
            if self._first:
                there -= await self._predecessors()
                self._first = False
            if self._term in there:
                await self._settle(there)
        except (Unavailable, Overloaded) as fault:
            _log.warning("the shards cannot be settled", extra={"fault": type(fault).__name__})

    # The lease

    async def _renewed(self) -> bool:
        """False when the lease may not stand: whether it does, the next beat finds out. Raises StoreUnavailable,
        Overloaded.
        """
        began = self._clock.monotonic()
        if began >= self._trusted_until or (self._doubtful and not await self._found()):
            await self._begin_anew()
        expire_at = self._clock.now() + KEPT_SECONDS * MILLISECONDS
        term = Term(self._term, self._instance, self._lease_seconds, expire_at)
        self._doubtful = True
        try:
            result = await self._leases.renew(term, self._held)
        except CommitUnknown:
            raise
        except (Unavailable, Overloaded):
            self._doubtful = False
            raise
        if not isinstance(result, Version):
            return False
        self._held, self._doubtful = result, False
        self._trusted_until = began + self._lease_seconds * TRUSTED
        return True

    async def _found(self) -> bool:
        """Whether our lease is there, as it was or as our last renewal, of unknown outcome, has left it."""
        for each in await self._leases.terms():
            if each.value.id == self._term:
                self._held = each.version
                return True
        return False

    async def _begin_anew(self) -> None:
        """A new term. The old one's lease is ended, if it is as we know it, so that nobody waits for it to lapse."""
        former, held = self._term, self._held
        self._term, self._held, self._shards = self._draw_term(), None, frozenset()
        self._doubtful = False
        if held is not None:
            _log.warning("the lease was not renewed in time; a new term begins")
            await self._leases.end(former, held)

    async def _there(self) -> set[str]:
        """The terms whose leases have not lapsed. What lapsed long ago is put away."""
        found = await self._leases.terms()
        await self._put_away([each for each in found if each.idle_seconds >= each.value.lease_seconds * 10])
        return {each.value.id for each in found if each.idle_seconds < each.value.lease_seconds}

    async def _predecessors(self) -> set[str]:
        """The terms of who had our name before us: names are unique, so it has died, and nobody has to wait for that
        to show.
        """
        found = [each for each in await self._leases.terms() if each.value.instance == self._instance]
        dead = [each for each in found if each.value.id != self._term]
        await self._put_away(dead)
        return {each.value.id for each in dead}

    async def _put_away(self, lapsed: Sequence[Stored[Term]]) -> None:
        await asyncio.gather(*(self._leases.end(each.value.id, each.version) for each in lapsed))

    # The allotment

    async def _settle(self, there: set[str]) -> None:
        """Take what is ours to take, and give up what is not and stands still. Raises StoreUnavailable, Overloaded."""
        for _ in range(MAX_ROUNDS):
            stored = await self._leases.allotment()
            holders = dict(stored.value.holders) if stored else {}
            busy = {shard for shard, term in holders.items() if term == self._term and self._busy(shard)}
            wanted = divided(holders, there, self._term, self._count, busy)
            self._adopt({shard: term for shard, term in holders.items() if wanted.get(shard) == term})
            kept = wanted | dict.fromkeys(busy, self._term)
            if kept == holders or await self._allotted(kept, stored):
                self._adopt(wanted)
                self._tell_lost(kept)
                return
        raise StoreUnavailable("others are changing the allotment")

    async def _allotted(self, wanted: dict[int, str], stored: Stored[Allotment] | None) -> bool:
        """False when others wrote first, or when that is not known: look again."""
        try:
            result = await self._leases.allot(Allotment(wanted), stored.version if stored else None)
        except CommitUnknown:
            return False
        return isinstance(result, Version)

    def _adopt(self, holders: dict[int, str]) -> None:
        shards = frozenset(shard for shard, term in holders.items() if term == self._term)
        if shards != self._shards:
            _log.info("shards", extra={"shards": sorted(shards), "term": self._term})
        self._shards = shards

    def _tell_lost(self, holders: dict[int, str]) -> None:
        mine = frozenset(shard for shard, term in holders.items() if term == self._term)
        if gone := self._known - mine:
            self._lost(gone)
        self._known = mine

    async def _hand_over(self) -> None:
        if self._held is None:
            return
        mine, self._shards = self._term, frozenset()
        self._tell_lost({})
        there = await self._there()
        for _ in range(MAX_ROUNDS):
            stored = await self._leases.allotment()
            if stored is None:
                break
            wanted = left(stored.value.holders, there, mine)
            if wanted == stored.value.holders or await self._allotted(wanted, stored):
                break
        await self._leases.end(mine, self._held)
        self._held = None
