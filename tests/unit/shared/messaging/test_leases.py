"""Leases are renewed before they end, in one call, and only while they are held."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from shared.clock import ManualClock
from shared.errors import BrokerUnavailable
from shared.messaging.contract import Delivery, Message
from shared.messaging.leases import Leases


@dataclass
class Renewals:
    """The source's side: notes when which leases are moved, and fails while `broken`."""

    clock: ManualClock
    seen: list[tuple[float, list[str], int]] = field(default_factory=list)
    broken: bool = False

    async def pull(self, subscription: str, *, limit: int, wait_seconds: float) -> Sequence[Delivery]:
        raise AssertionError("leases do not pull")

    async def acknowledge(self, delivery: Delivery) -> None:
        raise AssertionError("leases do not acknowledge")

    async def extend(self, deliveries: Sequence[Delivery], *, seconds: int) -> None:
        self.seen.append((self.clock.monotonic(), [delivery.ack_id for delivery in deliveries], seconds))
        if self.broken:
            raise BrokerUnavailable("as the test has it")

    @property
    def moments(self) -> list[float]:
        return [moment for moment, _, _ in self.seen]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def renewals(clock: ManualClock) -> Renewals:
    return Renewals(clock)


@pytest.fixture
async def leases(clock: ManualClock, renewals: Renewals) -> AsyncIterator[Leases]:
    leases = Leases(renewals, clock, lease_seconds=10)
    keeping = asyncio.create_task(leases.keep())
    await clock.advance(0)
    yield leases
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def delivered(ack_id: str) -> Delivery:
    return Delivery("s", ack_id, "1", Message(b"x"), 0, 0)


async def test_a_lease_is_renewed_again_and_again_well_before_it_ends(
    clock: ManualClock, renewals: Renewals, leases: Leases
) -> None:
    leases.hold(delivered("a"))
    await clock.advance(60)
    assert all(
        3 <= later - earlier <= 5 for earlier, later in zip([0.0, *renewals.moments], renewals.moments, strict=False)
    )
    assert renewals.seen[0][1:] == (["a"], 10)


async def test_all_that_is_due_is_renewed_in_one_call(clock: ManualClock, renewals: Renewals, leases: Leases) -> None:
    for number in range(500):
        leases.hold(delivered(str(number)))
    await clock.advance(5)
    assert [len(ack_ids) for _, ack_ids, _ in renewals.seen] == [500]


async def test_what_is_let_go_is_not_renewed(clock: ManualClock, renewals: Renewals, leases: Leases) -> None:
    one, other = delivered("one"), delivered("other")
    leases.hold(one)
    leases.hold(other)
    leases.let_go(one)
    await clock.advance(5)
    assert [ack_ids for _, ack_ids, _ in renewals.seen] == [["other"]]


async def test_a_failed_renewal_is_repeated_before_the_lease_ends(
    clock: ManualClock, renewals: Renewals, leases: Leases
) -> None:
    leases.hold(delivered("a"))
    renewals.broken = True
    await clock.advance(9.9)
    assert len(renewals.seen) >= 5
    assert leases.failures == len(renewals.seen)
    renewals.broken = False
    await clock.advance(4)
    assert leases.failures < len(renewals.seen)


async def test_an_idle_keeper_asks_nothing(clock: ManualClock, renewals: Renewals, leases: Leases) -> None:
    await clock.advance(100)
    assert renewals.seen == []
    assert leases.failures == 0
