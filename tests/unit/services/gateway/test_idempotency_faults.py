"""The Idempotency-Key over several gateways: one id and one effect, whoever dies or does not answer on the way."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.gateway.http.problems import IDEMPOTENCY_IN_PROGRESS, Problem
from services.gateway.jobs.idempotency import First, Replayed
from shared.errors import CommitUnknown
from shared.messaging.memory import Outage
from shared.storage.contract import KeyedRequest, WriteResult
from shared.storage.memory import MemoryDatabase, MemoryIdempotency
from tests.unit.services.gateway.backends import (
    A_MOMENT,
    BODY,
    SHARED,
    WINDOW_SECONDS,
    Backends,
    Gateway,
    gateway,
    ids,
    refused,
    settled,
)

# The first on its way, or lost


class Stuck(Exception):
    """Where a process was killed."""


async def die_before_publishing(one: Gateway, key: str, body: dict[str, Any]) -> None:
    """Take the key, and be killed: no code of ours runs after the write."""
    requests = one.idempotency._requests

    class Dying(MemoryIdempotency):
        async def create(self, hash: str, request: KeyedRequest) -> WriteResult:
            await super().create(hash, request)
            raise Stuck

    one.idempotency._requests = Dying(one.backends.database)
    with pytest.raises(Stuck):
        await one.post_keyed(key, body)
    one.idempotency._requests = requests


@pytest.mark.parametrize("body", [BODY, SHARED, BODY | {"delay_seconds": 60}])
async def test_copies_are_told_to_come_again_until_the_first_must_be_lost(
    backends: Backends, one: Gateway, other: Gateway, body: dict[str, Any]
) -> None:
    await die_before_publishing(one, "k", body)
    problem = await refused(other.post_keyed("k", body), 409, "idempotency-in-progress")
    assert int(problem.headers["Retry-After"]) >= 1
    await backends.clock.advance(WINDOW_SECONDS - A_MOMENT)
    await refused(other.post_keyed("k", body), 409, "idempotency-in-progress")
    assert not backends.published()
    await backends.clock.advance(2 * A_MOMENT)
    made_good = await other.post_keyed("k", body)
    await settled(other)
    again = await one.post_keyed("k", body)
    assert isinstance(made_good, Replayed)
    assert again.value.state.id == made_good.value.state.id
    found = await backends.jobs.read(again.value.state.id)
    assert len(backends.published()) == (0 if found else 1)


async def test_the_same_message_is_published_again(backends: Backends, one: Gateway, other: Gateway) -> None:
    body = BODY | {"expires_in_seconds": 3_600, "labels": {"a": "b"}, "max_attempts": 2}
    backends.cache.stop()
    await one.post_keyed("k", body)
    await backends.clock.advance(WINDOW_SECONDS + A_MOMENT)
    await other.post_keyed("k", body)
    first, second = backends.published()
    assert first == second


async def test_a_delay_counts_from_the_first_request(backends: Backends, one: Gateway, other: Gateway) -> None:
    asked_at, body = backends.clock.now(), BODY | {"delay_seconds": 60}
    await die_before_publishing(one, "k", body)
    await backends.clock.advance(WINDOW_SECONDS + A_MOMENT)
    made_good = await other.post_keyed("k", body)
    [(timer, _)] = backends.database.timers.documents.values()
    assert (timer.id, timer.due_at) == (f"{made_good.value.state.id}:1", asked_at + 60_000)


@pytest.mark.parametrize("outage", Outage)
async def test_after_a_failure_the_next_need_not_wait(
    backends: Backends, one: Gateway, other: Gateway, outage: Outage
) -> None:
    backends.broker.outage = outage
    await refused(one.post_keyed("k", BODY), 503, "unavailable")
    await settled(one)
    await refused(other.post_keyed("k", BODY), 503, "unavailable")
    backends.broker.outage = None
    answers = [await other.post_keyed("k", BODY) for _ in range(2)]
    assert len({answer.value.state.id for answer in answers}) == 1
    assert set(ids(backends.published())) == {answers[0].value.state.id}


async def test_what_expired_unseen_is_not_run_late(backends: Backends, one: Gateway, other: Gateway) -> None:
    body = BODY | {"expires_in_seconds": 60}
    await die_before_publishing(one, "k", body)
    await backends.clock.advance(5 * 3_600)  # the id's lifetime is counted in 4 h
    answer = await other.post_keyed("k", body)
    assert b'"expired"' in answer.value.state.body
    assert not backends.published()


# The store away, or in doubt


async def test_without_the_store_a_new_key_is_refused(backends: Backends, one: Gateway) -> None:
    await one.post(BODY)
    backends.database.fail()
    problem = await refused(one.post_keyed("k", BODY), 503, "unavailable")
    assert problem.members["accepted"] is False
    assert len(backends.published()) == 1


async def test_a_shared_job_that_no_key_could_be_kept_for_is_not_led(backends: Backends, one: Gateway) -> None:
    await one.post(SHARED | {"input": 2})
    backends.database.fail()
    await refused(one.post_keyed("k", SHARED), 503, "unavailable")
    await settled(one)
    backends.database.heal()
    assert (await one.post(SHARED)).headers["Cache-Status"] == "sluice; fwd=miss"


class Slow(MemoryIdempotency):
    """Writes when told to."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.writing = asyncio.Event()

    async def create(self, hash: str, request: KeyedRequest) -> WriteResult:
        await self.writing.wait()
        return await super().create(hash, request)


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_key_written_too_late_holds_up_nobody(backends: Backends, other: Gateway, leaves: bool) -> None:
    slow = Slow(backends.database)
    late = await gateway(backends, slow)
    late.idempotency._store_seconds = 0.02
    asking = asyncio.create_task(late.post_keyed("k", BODY))
    if leaves:
        await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    else:
        await refused(asking, 503, "unavailable")
    slow.writing.set()
    await settled(late)
    assert backends.database.idempotency.documents
    assert not backends.published()
    made_good = await other.post_keyed("k", BODY)
    assert ids(backends.published()) == [made_good.value.state.id]


async def test_a_client_that_leaves_while_its_job_is_published_holds_up_nobody(
    backends: Backends, one: Gateway, other: Gateway
) -> None:
    asking = asyncio.create_task(one.post_keyed("k", BODY))
    while not backends.database.idempotency.documents:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await settled(one)
    answers = [await other.post_keyed("k", BODY) for _ in range(2)]
    assert {answer.value.state.id for answer in answers} == set(ids(backends.published()))


@dataclass
class Doubtful(MemoryIdempotency):
    """Loses the answers of its first writes. applied: whether it carried them out."""

    database: MemoryDatabase
    applied: bool
    losses: int = 1
    writes: int = field(default=0)

    def __post_init__(self) -> None:
        super().__init__(self.database)

    async def create(self, hash: str, request: KeyedRequest) -> WriteResult:
        self.writes += 1
        if self.writes > self.losses:
            return await super().create(hash, request)
        if self.applied:
            await super().create(hash, request)
        raise CommitUnknown("the answer was lost")


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("losses", [1, 2])
async def test_a_write_in_doubt_is_looked_up(backends: Backends, applied: bool, losses: int) -> None:
    first = await (await gateway(backends, Doubtful(backends.database, applied, losses))).post_keyed("k", BODY)
    assert isinstance(first, First)
    backends.cache.flush()
    await backends.clock.advance(WINDOW_SECONDS + A_MOMENT)
    assert (await (await gateway(backends)).post_keyed("k", BODY)).value.state.id == first.value.state.id


async def test_a_store_that_loses_every_answer_is_away(backends: Backends) -> None:
    doubtful = await gateway(backends, Doubtful(backends.database, applied=False, losses=1_000))
    await refused(doubtful.post_keyed("k", BODY), 503, "unavailable")
    assert not backends.published()


# Many at once


@contextmanager
def suppress_in_progress() -> Iterator[None]:
    try:
        yield
    except Problem as problem:
        if problem.type is not IDEMPOTENCY_IN_PROGRESS:
            raise


@pytest.mark.parametrize("body", [BODY, SHARED], ids=["plain", "shared"])
@pytest.mark.parametrize("seed", range(20))
async def test_a_hundred_copies_over_four_gateways_are_one_job(
    backends: Backends, body: dict[str, Any], seed: int
) -> None:
    """With Redis flushed, stopped and started at random, and each copy sent until it is accepted."""
    rng = random.Random(seed)
    gateways = [await gateway(backends) for _ in range(4)]

    async def pause() -> None:
        for _ in range(rng.randrange(30)):
            await asyncio.sleep(0)

    async def copy() -> First[Any] | Replayed[Any]:
        for _ in range(100):
            await pause()
            with suppress_in_progress():
                return await rng.choice(gateways).post_keyed("k", body)
        raise AssertionError("never accepted")

    async def trouble() -> None:
        for _ in range(10):
            await pause()
            rng.choice([backends.cache.flush, backends.cache.stop, backends.cache.start])()
        backends.cache.start()
        await backends.clock.advance(WINDOW_SECONDS + A_MOMENT)

    answers, _ = await asyncio.gather(asyncio.gather(*(copy() for _ in range(100))), trouble())
    assert len({answer.value.state.id for answer in answers}) == 1
    assert sum(isinstance(answer, First) for answer in answers) == 1
    assert set(ids(backends.published())) == {answers[0].value.state.id}
