"""Shards among instances, on one store and a clock that is moved."""

from collections import Counter
from dataclasses import dataclass, field

from services.webhooks.shards import Shards, owner_of
from shared.clock import ManualClock
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_webhooks import MemoryLeases
from shared.storage.webhook_contract import DELIVERY_SHARDS

SECONDS = 10.0
ALL = set(range(DELIVERY_SHARDS))


@dataclass
class Instance:
    name: str
    database: MemoryDatabase
    clock: ManualClock
    sending: set[int] = field(default_factory=set)
    lost: list[int] = field(default_factory=list)
    shards: Shards = field(init=False)

    def __post_init__(self) -> None:
        self.shards = Shards(
            MemoryLeases(self.database),
            self.name,
            self.clock,
            seconds=SECONDS,
            busy=self.sending.__contains__,
            lost=self.lost.extend,
        )


def instances(*names: str) -> tuple[ManualClock, list[Instance]]:
    clock = ManualClock()
    database = MemoryDatabase(clock)
    return clock, [Instance(name, database, clock) for name in names]


def held(*found: Instance) -> Counter[int]:
    return Counter(shard for each in found for shard in each.shards.held)


async def turns(*found: Instance, rounds: int = 3) -> None:
    for _ in range(rounds):
        for each in found:
            await each.shards.turn()


async def test_one_alone_has_them_all() -> None:
    _, [one] = instances("one")
    await one.shards.turn()
    assert one.shards.held == ALL


async def test_several_share_them_and_no_two_have_one() -> None:
    _, found = instances("one", "two", "three")
    await turns(*found)
    assert held(*found) == Counter(ALL)
    assert all(each.shards.held for each in found)


async def test_who_comes_gets_its_share_and_the_others_keep_theirs() -> None:
    _, found = instances("one", "two", "three")
    await turns(*found[:2])
    before = [each.shards.held for each in found[:2]]
    await turns(*found)
    assert held(*found) == Counter(ALL)
    assert all(each.shards.held <= kept for each, kept in zip(found, before, strict=False))


async def test_a_shard_that_is_being_sent_from_is_given_up_afterwards() -> None:
    _, [one, two] = instances("one", "two")
    await one.shards.turn()
    moving = next(n for n in ALL if owner_of(n, ["one", "two"]) == "two")
    one.sending.add(moving)
    await turns(one, two)
    assert moving not in one.shards.held | two.shards.held
    one.sending.clear()
    await turns(one, two)
    assert moving in two.shards.held
    assert moving in one.lost


async def test_what_a_dead_one_held_is_taken_once_its_leases_have_lapsed() -> None:
    clock, [one, two] = instances("one", "two")
    await turns(one, two)
    left = two.shards.held
    for _ in range(4):
        await clock.advance(SECONDS / 5)
        await one.shards.turn()
        assert not left & one.shards.held
    for _ in range(6):
        await clock.advance(SECONDS / 5)
        await one.shards.turn()
    assert one.shards.held == ALL


async def test_one_that_was_frozen_has_stopped_before_anybody_else_may_start() -> None:
    clock, [one, two] = instances("one", "two")
    await turns(one, two)
    assert two.shards.held
    for _ in range(20):
        await clock.advance(SECONDS / 10)
        await one.shards.turn()
        assert not one.shards.held & two.shards.held
    assert not two.shards.held
    await two.shards.turn()
    await turns(one, two)
    assert held(one, two) == Counter(ALL)


async def test_one_that_cannot_reach_the_store_stops_in_time() -> None:
    clock, [one] = instances("one")
    await one.shards.turn()
    one.database.fail()
    await clock.advance(SECONDS - 0.1)
    assert one.shards.held == ALL
    await clock.advance(0.1)
    assert not one.shards.held


async def test_what_is_given_back_is_free_at_once() -> None:
    _, [one, two] = instances("one", "two")
    await turns(one, two)
    await two.shards.release()
    assert not two.shards.held
    await one.shards.turn()
    assert one.shards.held == ALL


async def test_members_that_went_without_a_word_are_struck_off() -> None:
    clock, [one, two] = instances("one", "two")
    await turns(one, two)
    await clock.advance(SECONDS * 21)
    await one.shards.turn()
    assert [name for name in one.database.leases.documents if name.startswith("webhooks-members")] == [
        "webhooks-members:one"
    ]
