"""The Idempotency-Key over several gateways: what a request with a key that is known is answered, and for how long."""

import asyncio

import pytest

from services.gateway.jobs.idempotency import KEPT_SECONDS, First, Replayed
from shared.models.handler import HandlerEntry
from shared.storage.memory import MemoryCatalogue
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


async def test_the_first_is_accepted_and_the_next_replayed(backends: Backends, one: Gateway, other: Gateway) -> None:
    first = await one.post_keyed("k", BODY)
    await settled(one)
    second = await other.post_keyed("k", {"input": {"a": [2], "b": 1}, "handler": "plain"})
    assert isinstance(first, First)
    assert isinstance(second, Replayed)
    assert second.value.state == first.value.state
    assert ids(backends.published()) == [first.value.state.id]


@pytest.mark.parametrize("change", ["key", "tenant"])
async def test_another_key_or_tenant_is_another_request(backends: Backends, one: Gateway, change: str) -> None:
    await one.post_keyed("k", BODY)
    second = await one.post_keyed("k" if change == "tenant" else "l", BODY, "globex" if change == "tenant" else "acme")
    assert isinstance(second, First)
    assert len(set(ids(backends.published()))) == 2


@pytest.mark.parametrize("flushed", [True, False])
async def test_another_body_is_refused(backends: Backends, one: Gateway, other: Gateway, flushed: bool) -> None:
    await one.post_keyed("k", BODY)
    await settled(one)
    if flushed:
        backends.cache.flush()
    for body in (BODY | {"input": 2}, BODY | {"labels": {}}, BODY | {"handler": "unknown"}):
        await refused(other.post_keyed("k", body), 422, "idempotency-key-reused")
    assert len(backends.published()) == 1


async def test_a_replay_is_the_state_now(backends: Backends, one: Gateway, other: Gateway) -> None:
    await one.post_keyed("k", BODY)
    await settled(one)
    over = await backends.finish(backends.published()[0])
    await backends.clock.advance(11)
    replayed = await other.post_keyed("k", BODY)
    assert (replayed.value.state.terminal, replayed.value.state.order) == (True, over.order)


# Redis away


async def test_redis_spares_replays_the_store(backends: Backends, one: Gateway) -> None:
    first = await one.post_keyed("k", BODY)
    await settled(one)
    backends.database.fail()
    assert (await one.post_keyed("k", BODY)).value.state == first.value.state


@pytest.mark.parametrize("claimed", [True, False])
async def test_without_redis_the_store_knows(backends: Backends, one: Gateway, other: Gateway, claimed: bool) -> None:
    backends.cache.stop()
    first = await one.post_keyed("k", BODY)
    [spec] = backends.published()
    if claimed:
        await backends.claim(spec)
    else:
        await backends.clock.advance(WINDOW_SECONDS + A_MOMENT)
    second = await other.post_keyed("k", BODY)
    assert isinstance(second, Replayed)
    assert second.value.state.id == first.value.state.id
    assert set(ids(backends.published())) == {spec.id}


async def test_a_replay_is_remembered_for_the_next(backends: Backends, one: Gateway, other: Gateway) -> None:
    first = await one.post_keyed("k", BODY)
    await backends.finish(backends.published()[0])
    await settled(one)
    backends.cache.flush()
    await other.post_keyed("k", BODY)
    await settled(other)
    backends.database.fail()
    assert (await other.post_keyed("k", BODY)).value.state.id == first.value.state.id


# How long a key lasts


@pytest.mark.parametrize("flushed", [True, False])
async def test_a_key_lasts_a_day(backends: Backends, one: Gateway, other: Gateway, flushed: bool) -> None:
    first = await one.post_keyed("k", BODY)
    await settled(one)
    await backends.finish(backends.published()[0])
    await backends.clock.advance(KEPT_SECONDS - 1_800)
    if flushed:
        backends.cache.flush()
    assert (await other.post_keyed("k", BODY)).value.state.id == first.value.state.id
    await settled(other)
    await backends.clock.advance(1_801)
    second = await one.post_keyed("k", BODY | {"input": 2})
    assert isinstance(second, First)
    assert second.value.state.id != first.value.state.id


async def test_a_key_lasts_as_long_as_its_job_may(backends: Backends, one: Gateway, other: Gateway) -> None:
    body = BODY | {"delay_seconds": 10 * 86_400}
    first = await one.post_keyed("k", body)
    await settled(one)
    await backends.clock.advance(10 * 86_400)
    assert (await other.post_keyed("k", body)).value.state.id == first.value.state.id


async def test_one_of_many_gets_a_key_that_ran_out(backends: Backends, one: Gateway, other: Gateway) -> None:
    old = await one.post_keyed("k", BODY)
    await settled(one)
    await backends.clock.advance(KEPT_SECONDS)
    backends.cache.flush()
    answers = await asyncio.gather(*(each.post_keyed("k", BODY) for each in [one, other] * 10), return_exceptions=True)
    firsts = [answer for answer in answers if isinstance(answer, First)]
    assert len(firsts) == 1
    assert firsts[0].value.state.id != old.value.state.id
    assert len(backends.published()) == 2


# Refusals


async def test_a_refused_request_leaves_its_key_unused(backends: Backends, one: Gateway) -> None:
    await refused(one.post_keyed("k", BODY | {"handler": "unknown"}), 404, "unknown-handler")
    assert isinstance(await one.post_keyed("k", BODY), First)


async def test_what_was_accepted_stays_so_when_it_would_be_refused(backends: Backends, one: Gateway) -> None:
    first = await one.post_keyed("k", BODY)
    await settled(one)
    backends.cache.flush()
    await backends.claim(backends.published()[0])
    strict = HandlerEntry("plain", "default", "2", {"type": "string"}, {}, 30.0, 5, cache_for_seconds=0)
    await MemoryCatalogue(backends.database).announce([strict])
    replayed = await (await gateway(backends)).post_keyed("k", BODY)
    assert isinstance(replayed, Replayed)
    assert replayed.value.state.id == first.value.state.id


# Shared work


async def test_a_key_stands_for_what_it_was_answered(backends: Backends, one: Gateway, other: Gateway) -> None:
    await one.post(SHARED)
    await settled(one)
    joined = await other.post_keyed("joined", SHARED)
    await backends.finish(backends.published()[0])
    hit = await other.post_keyed("hit", SHARED)
    await settled(other)
    assert joined.value.state.id == hit.value.state.id == backends.published()[0].id
    assert isinstance(hit, First)
    assert hit.value.state.terminal
    backends.cache.flush()
    for key in ("joined", "hit"):
        again = await one.post_keyed(key, SHARED)
        assert isinstance(again, Replayed)
        assert again.value.state.id == hit.value.state.id
        assert again.value.headers == {}
    assert len(backends.published()) == 1


async def test_a_joined_job_is_never_told_to_be_on_its_way(backends: Backends, one: Gateway, other: Gateway) -> None:
    first = await one.post(SHARED)
    await settled(one)
    await one.post_keyed("k", SHARED)
    await settled(one)
    backends.cache.flush()
    again = await other.post_keyed("k", SHARED)
    assert again.value.state.id == first.state.id


async def test_a_key_that_is_taken_leads_nothing(backends: Backends, one: Gateway, other: Gateway) -> None:
    first = await one.post_keyed("k", SHARED)
    await settled(one)
    await backends.claim(backends.published()[0])
    backends.cache.flush()
    replayed = await other.post_keyed("k", SHARED)
    await settled(other)
    assert replayed.value.state.id == first.value.state.id
    assert (await one.post(SHARED)).headers["Cache-Status"] == "sluice; fwd=miss"
