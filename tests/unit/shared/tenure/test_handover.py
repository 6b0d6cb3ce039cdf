"""Shards that are busy are handed over when they are not, and who loses some is told."""

from collections import Counter
from dataclasses import dataclass, field

from shared.clock import ManualClock
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_leases import MemoryShardLeases
from shared.storage.shard_leases import DELIVERIES, TIMERS
from shared.tenure.tenure import BEATS, Tenure
from tests.unit.shared.tenure.tasks import Tasks

SHARDS = 16
ALL = set(range(SHARDS))
LEASE_SECONDS = 6
BEAT = LEASE_SECONDS / BEATS


@dataclass
class Process:
    """One that shares shards; `sending` are those of which something is under way."""

    name: str
    database: MemoryDatabase
    clock: ManualClock
    group: str = DELIVERIES
    sending: set[int] = field(default_factory=set)
    lost: list[int] = field(default_factory=list)
    terms: Counter[str] = field(default_factory=Counter)
    tenure: Tenure = field(init=False)

    def __post_init__(self) -> None:
        self.tenure = Tenure(
            self.name,
            MemoryShardLeases(self.database, self.group),
            self.clock,
            shards=SHARDS,
            lease_seconds=LEASE_SECONDS,
            draw_term=self._term,
            chance=lambda: 1.0,
            busy=self.sending.__contains__,
            lost=self.lost.extend,
        )

    def _term(self) -> str:
        self.terms[self.name] += 1
        return f"{self.name}-{self.terms[self.name]}"


async def test_a_busy_shard_is_left_alone_at_once_and_given_up_afterwards() -> None:
    clock = ManualClock()
    database = MemoryDatabase(clock)
    one, two = Process("one", database, clock), Process("two", database, clock)
    async with Tasks() as tasks:
        tasks.start(one.tenure.run())
        await clock.advance(BEAT)
        one.sending |= ALL
        tasks.start(two.tenure.run())
        await clock.advance(3 * BEAT)
        assert len(one.tenure.shards) == SHARDS // 2
        assert not two.tenure.shards
        assert one.lost == []
        one.sending.clear()
        await clock.advance(3 * BEAT)
        assert one.tenure.shards | two.tenure.shards == ALL
        assert set(one.lost) == set(two.tenure.shards)


async def test_the_others_are_given_what_stands_still() -> None:
    clock = ManualClock()
    database = MemoryDatabase(clock)
    one, two = Process("one", database, clock), Process("two", database, clock)
    async with Tasks() as tasks:
        tasks.start(one.tenure.run())
        await clock.advance(BEAT)
        one.sending |= {0, 1, 2}
        tasks.start(two.tenure.run())
        await clock.advance(3 * BEAT)
        assert one.sending <= one.tenure.shards
        assert len(two.tenure.shards) == SHARDS // 2


async def test_who_gets_back_what_it_had_has_lost_nothing() -> None:
    """A store that stands still for longer than the lease ends a term; alone, the next one takes everything."""
    clock = ManualClock()
    database = MemoryDatabase(clock)
    one = Process("one", database, clock)
    async with Tasks() as tasks:
        tasks.start(one.tenure.run())
        await clock.advance(BEAT)
        database.fail()
        await clock.advance(2 * LEASE_SECONDS)
        assert not one.tenure.shards
        database.heal()
        await clock.advance(2 * BEAT)
        assert one.tenure.shards == ALL
        assert one.lost == []
        assert one.terms["one"] > 1


async def test_who_leaves_has_lost_everything() -> None:
    clock = ManualClock()
    one = Process("one", MemoryDatabase(clock), clock)
    async with Tasks() as tasks:
        tasks.start(one.tenure.run())
        await clock.advance(BEAT)
        await one.tenure.leave()
    assert set(one.lost) == ALL


async def test_groups_see_nothing_of_each_other() -> None:
    clock = ManualClock()
    database = MemoryDatabase(clock)
    one, two = Process("one", database, clock), Process("two", database, clock, TIMERS)
    async with Tasks() as tasks:
        for each in (one, two):
            tasks.start(each.tenure.run())
        await clock.advance(3 * BEAT)
        assert one.tenure.shards == two.tenure.shards == ALL


async def test_who_comes_back_under_its_name_has_at_once_what_it_had() -> None:
    """As a container that is started again in its place does."""
    clock = ManualClock()
    database = MemoryDatabase(clock)
    async with Tasks() as tasks:
        tasks.start(Process("one", database, clock).tenure.run())
        await clock.advance(BEAT)
    again = Process("one", database, clock)
    again.terms["one"] = 10
    async with Tasks() as tasks:
        tasks.start(again.tenure.run())
        await clock.advance(0.1)
        assert again.tenure.shards == ALL
