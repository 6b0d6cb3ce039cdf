"""Single flights over several gateways: hit, join or lead, whoever dies or does not answer on the way."""

import asyncio
from typing import Any

import orjson
import pytest

from services.gateway.http.answers import Accepted
from services.gateway.http.problems import Problem
from services.gateway.jobs.sharing import COLLAPSED, MISS, REFRESHED, UNAVAILABLE
from shared.cache.contract import Flight
from shared.cache.lifetimes import UNCONFIRMED_TTL_SECONDS
from shared.messaging.memory import Outage
from shared.models.envelope import Envelope
from shared.models.handler import HandlerEntry
from tests.unit.services.gateway.backends import (
    CACHED,
    SETTINGS,
    TENANT,
    Backends,
    Gateway,
    gateway,
    ids,
    newer,
    settled,
)

BODY = {"handler": "cached", "input": {"b": 1, "a": [2]}}


def said(accepted: Accepted) -> str | None:
    return accepted.headers.get("Cache-Status")


async def confirmed(one: Gateway, body: dict[str, Any] = BODY) -> Accepted:
    accepted = await one.post(body)
    await settled(one)
    return accepted


async def test_one_leads_and_others_join_it(backends: Backends, one: Gateway, other: Gateway) -> None:
    leader = await confirmed(one)
    joined = [await other.post(BODY), await one.post({"input": {"a": [2], "b": 1}, "handler": "cached"})]
    assert said(leader) == MISS
    assert [said(each) for each in joined] == [COLLAPSED, COLLAPSED]
    assert [each.state for each in joined] == [leader.state, leader.state]
    assert ids(backends.published()) == [leader.state.id]


async def test_the_leader_s_job_is_what_it_is_whoever_asks_first(backends: Backends, one: Gateway) -> None:
    await confirmed(one, {"handler": "cached", "input": {"b": 1, "a": 2}})
    [spec] = backends.published()
    assert spec.input == b'{"a":2,"b":1}'
    assert (spec.cache_for_seconds, len(spec.cache_key or "")) == (100, 64)


@pytest.mark.parametrize(
    "body",
    [
        {"handler": "plain", "input": 1},
        {"handler": "cached", "input": 1, "cache": "off"},
        {"handler": "cached", "input": 1, "labels": {"a": "b"}},
        {"handler": "cached", "input": 1, "cache": "refresh", "max_attempts": 5},
    ],
)
async def test_what_is_not_shared_has_no_key(backends: Backends, one: Gateway, body: dict[str, Any]) -> None:
    answers = [await confirmed(one, body) for _ in range(2)]
    assert [said(each) for each in answers] == [None, None]
    assert [(spec.cache_key, spec.cache_for_seconds) for spec in backends.published()] == [(None, 0)] * 2


@pytest.mark.parametrize("change", ["tenant", "version", "handler", "input"])
async def test_other_work_is_not_joined(backends: Backends, one: Gateway, change: str) -> None:
    await confirmed(one)
    body, tenant = dict(BODY), TENANT
    if change == "tenant":
        tenant = "globex"
    elif change == "input":
        body["input"] = {"b": 1.0, "a": [2]}
    elif change == "version":
        await backends.announce(newer(CACHED, "2"))
        one = await gateway(backends)
    else:
        await backends.announce(HandlerEntry("cached2", "default", "1", {}, {}, 30.0, 5, cache_for_seconds=100))
        body["handler"] = "cached2"
    assert said(await (await gateway(backends)).post(body, tenant)) == MISS
    assert len(set(ids(backends.published()))) == 2


async def test_who_joins_an_unconfirmed_flight_publishes_the_same_message(
    backends: Backends, one: Gateway, other: Gateway
) -> None:
    leader = await one.order(BODY).propose()
    await backends.clock.advance(3)
    joined = await other.post({"handler": "cached", "input": {"a": [2], "b": 1}})
    accepted = await leader.accept()
    first, second = backends.published()
    assert first == second
    assert accepted.state == joined.state
    assert accepted.state.id == leader.id == first.id


async def test_a_leader_that_died_before_it_published_blocks_nobody(
    backends: Backends, one: Gateway, other: Gateway
) -> None:
    dead = await one.order(BODY).propose()
    joined = await confirmed(other)
    assert (said(joined), joined.state.id) == (COLLAPSED, dead.id)
    assert ids(backends.published()) == [dead.id]
    await other.post(BODY)
    assert ids(backends.published()) == [dead.id]


async def test_a_dead_leader_that_nobody_joined_is_forgotten(backends: Backends, one: Gateway, other: Gateway) -> None:
    dead = await one.order(BODY).propose()
    await backends.clock.advance(UNCONFIRMED_TTL_SECONDS + 1)
    later = await other.post(BODY)
    assert (said(later), later.state.id == dead.id) == (MISS, False)


async def test_a_process_publishes_a_flight_once_however_many_join(
    backends: Backends, other: Gateway, one: Gateway
) -> None:
    answers = await asyncio.gather(*(each.post(BODY) for each in [one, other] * 50))
    assert len({answer.state.id for answer in answers}) == 1
    assert [said(answer) for answer in answers].count(MISS) == 1
    assert len(backends.published()) <= 2
    later = await one.post(BODY)
    assert later.state.id == answers[0].state.id
    assert len(backends.published()) <= 2


async def test_who_saw_the_flight_before_it_was_confirmed_need_not_publish_it_again(
    backends: Backends, one: Gateway
) -> None:
    leader, late = await one.order(BODY).propose(), await one.order(BODY).propose()
    await leader.accept()
    assert said(await late.accept()) == COLLAPSED
    assert ids(backends.published()) == [leader.id]


async def test_a_client_that_leaves_does_not_take_the_others_job_with_it(backends: Backends, one: Gateway) -> None:
    leading = asyncio.create_task(one.post(BODY))
    await asyncio.sleep(0)
    joining = asyncio.create_task(one.post(BODY))
    async with asyncio.timeout(5):
        while not one.desk.sharing._accepting:
            await asyncio.sleep(0)
    leading.cancel()
    joined = await joining
    assert ids(backends.published()) == [joined.state.id]


@pytest.mark.parametrize(("outage", "accepted"), [(Outage.UNREACHABLE, False), (Outage.MUTE, "unknown")])
async def test_a_failed_publish_is_made_good_under_the_same_id(
    backends: Backends, one: Gateway, other: Gateway, outage: Outage, accepted: object
) -> None:
    backends.broker.outage = outage
    for each in (one, other):
        with pytest.raises(Problem) as refusal:
            await each.post(BODY)
        assert refusal.value.members["accepted"] == accepted
    backends.broker.outage = None
    later = await one.post(BODY)
    assert said(later) == COLLAPSED
    assert set(ids(backends.published())) == {later.state.id}


async def test_a_result_is_given_with_its_age(backends: Backends, one: Gateway, other: Gateway) -> None:
    await confirmed(one)
    over = await backends.finish(backends.published()[0])
    await backends.clock.advance(30)
    backends.database.fail()
    backends.broker.outage = Outage.UNREACHABLE
    hit = await other.post(BODY)
    assert hit.headers == {"Cache-Status": "sluice; hit; ttl=70", "Age": "30"}
    assert (hit.state.terminal, hit.state.order) == (True, over.order)
    assert orjson.loads(hit.state.body)["output"] == "done"


async def test_a_running_job_is_joined_as_it_is_seen(backends: Backends, one: Gateway, other: Gateway) -> None:
    await confirmed(one)
    running = await backends.claim(backends.published()[0])
    await backends.clock.advance(11)
    joined = await other.post(BODY)
    assert joined.state.order == running.order
    backends.cache.flush()
    assert said(await other.post(BODY)) == MISS


@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_flight_whose_end_was_not_told_is_led_anew(
    backends: Backends, one: Gateway, other: Gateway, succeeds: bool
) -> None:
    first = await confirmed(one)
    await backends.finish(backends.published()[0], succeeds=succeeds, landing=False)
    await backends.clock.advance(11)
    second = await confirmed(other)
    assert (said(second), second.state.id == first.state.id) == (MISS, False)
    third = await one.post(BODY)
    assert (said(third), third.state.id) == (COLLAPSED, second.state.id)


async def test_a_flight_past_its_lifetime_is_led_anew(backends: Backends, one: Gateway, other: Gateway) -> None:
    first = await confirmed(one)
    await backends.clock.advance(SETTINGS.expires_in_seconds - 1)
    assert (await other.post(BODY)).state.id == first.state.id
    await backends.clock.advance(1)
    assert said(await other.post(BODY)) == MISS


async def test_a_job_is_joined_while_the_store_is_away(backends: Backends, one: Gateway, other: Gateway) -> None:
    first = await confirmed(one)
    await backends.clock.advance(11)
    backends.database.fail()
    joined = await other.post(BODY)
    assert (said(joined), joined.state) == (COLLAPSED, first.state)


@pytest.mark.parametrize("head", [b"", b"{", b'{"v":2}', b"\xff"])
async def test_a_flight_that_cannot_be_read_is_led_anew(backends: Backends, one: Gateway, head: bytes) -> None:
    await confirmed(one)
    [spec] = backends.published()
    assert spec.cache_key is not None
    await backends.cache.lead(spec.cache_key, Flight(spec.id, head), ttl_seconds=60)
    assert said(await one.post(BODY)) == MISS
    assert said(await one.post(BODY)) == COLLAPSED


async def test_a_flight_with_the_head_of_other_work_is_led_anew(backends: Backends, one: Gateway) -> None:
    await confirmed(one)
    await confirmed(one, BODY | {"input": 2})
    mine, others = backends.published()
    assert mine.cache_key is not None
    head = Envelope(others).encode()
    await backends.cache.lead(mine.cache_key, Flight(others.id, head), ttl_seconds=60)
    assert said(await one.post(BODY)) == MISS
    assert said(await one.post(BODY)) == COLLAPSED


async def test_a_flight_of_another_tenant_s_id_is_led_anew(backends: Backends, one: Gateway) -> None:
    await confirmed(one, BODY)
    await one.post(BODY, "globex")
    mine, theirs = backends.published()
    assert mine.cache_key is not None
    await backends.cache.lead(mine.cache_key, Flight(theirs.id, b"{}"), ttl_seconds=60)
    assert said(await one.post(BODY)) == MISS


async def test_a_refresh_leads_whatever_is_known(backends: Backends, one: Gateway, other: Gateway) -> None:
    first = await confirmed(one)
    fresh = await confirmed(other, BODY | {"cache": "refresh"})
    assert (said(fresh), fresh.state.id == first.state.id) == (REFRESHED, False)
    assert (await one.post(BODY)).state.id == fresh.state.id
    old, new = backends.published()
    await backends.finish(new)
    await backends.finish(old)
    assert (await one.post(BODY)).state.id == fresh.state.id


async def test_what_is_withdrawn_is_not_joined(backends: Backends, one: Gateway, other: Gateway) -> None:
    withdrawn = await one.order(BODY).propose()
    withdrawn.withdraw()
    await settled(one)
    assert said(await other.post(BODY)) == MISS
    assert withdrawn.id not in ids(backends.published())


async def test_who_joined_withdraws_nothing(backends: Backends, one: Gateway, other: Gateway) -> None:
    leader = await one.order(BODY).propose()
    (await other.order(BODY).propose()).withdraw()
    await settled(other)
    joined = await other.post(BODY)
    assert joined.state.id == leader.id


async def test_without_the_cache_every_request_runs(backends: Backends, one: Gateway) -> None:
    backends.cache.stop()
    answers = [await one.post(BODY), await one.post(BODY | {"cache": "refresh"})]
    assert [said(answer) for answer in answers] == [UNAVAILABLE, UNAVAILABLE]
    assert len(set(ids(backends.published()))) == 2
    backends.cache.start()
    for spec in backends.published():
        await backends.finish(spec)
    assert (await one.post(BODY)).state.id == answers[0].state.id


async def test_the_cache_lost_after_leading_changes_nothing(backends: Backends, one: Gateway) -> None:
    leader = await one.order(BODY).propose()
    backends.cache.stop()
    assert (await leader.accept()).state.id == leader.id
    await settled(one)
    assert ids(backends.published()) == [leader.id]
