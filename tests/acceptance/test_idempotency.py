"""The Idempotency-Key: each row of the contract, over HTTP, with the runs counted."""

import asyncio
import json
import secrets
from typing import Any

import pytest

from deploy.local.system import System
from tests.acceptance.client import Answer, ApiClient
from tests.acceptance.counted import Runs
from tests.acceptance.redis_faults import flush, until_back
from tests.acceptance.test_faults import frozen
from tests.acceptance.test_jobs import problem

WHOLE_WINDOW_SECONDS = 20.0
"""Longer than a first request may be on its way."""


@pytest.fixture
def key() -> str:
    return f"key-{secrets.token_hex(8)}"


def replayed(answer: Answer) -> bool:
    marker = answer.headers.get("Idempotency-Replayed")
    assert marker in {None, "true"}
    return marker is not None


async def accepted(api: ApiClient, handler: str, input: Any, key: str, **fields: Any) -> Answer:
    """Send the keyed request until it is accepted, as a client that follows the contract does."""
    async with asyncio.timeout(WHOLE_WINDOW_SECONDS):
        while True:
            answer = await api.submit(handler, input, key=key, **fields)
            if answer.status < 300:
                return answer
            assert answer.status in {409, 503}, answer.body
            await asyncio.sleep(int(answer.headers["Retry-After"]) / 4)


async def test_a_retry_gets_the_same_job_as_it_is_now(api: ApiClient, runs: Runs, key: str) -> None:
    first = await api.submit("counted.plain", runs.input(seconds=1), key=key)
    second = await api.submit("counted.plain", runs.input(seconds=1), key=key)
    assert (first.status, replayed(first)) == (202, False)
    assert (second.status, replayed(second)) == (202, True)
    assert second.json["id"] == first.json["id"]
    assert second.headers["Location"] == first.headers["Location"]
    over = await api.over(first.json["id"])
    third = await api.submit("counted.plain", runs.input(seconds=1), key=key)
    assert (third.status, replayed(third), third.json) == (200, True, over)
    assert runs.count == 1


async def test_a_retry_may_wait(api: ApiClient, runs: Runs, key: str) -> None:
    first = await api.submit("counted.plain", runs.input(seconds=2), key=key)
    second = await api.submit("counted.plain", runs.input(seconds=2), key=key, wait=20)
    assert (second.status, replayed(second), second.json["status"]) == (200, True, "succeeded")
    assert second.headers["Preference-Applied"] == "wait=20"
    assert second.json["id"] == first.json["id"]


async def test_the_spelling_of_the_body_does_not_matter(api: ApiClient, runs: Runs, key: str) -> None:
    body = {"handler": "counted.plain", "input": runs.input(value={"b": [1], "a": "ü"})}
    turned = {"input": {"value": {"a": "ü", "b": [1]}, **runs.input()}, "handler": "counted.plain"}
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    first = await api.request("POST", "/v1/jobs", data=json.dumps(body), headers=headers)
    second = await api.request("POST", "/v1/jobs", data=json.dumps(turned, indent=3), headers=headers)
    assert (second.json["id"], replayed(second)) == (first.json["id"], True)


@pytest.mark.parametrize("flushed", [False, True])
async def test_another_body_under_the_same_key_is_422(
    api: ApiClient, system: System, runs: Runs, key: str, flushed: bool
) -> None:
    first = await api.submit("counted.plain", runs.input(value=1), key=key)
    await api.over(first.json["id"])  # until a worker claims it, nobody without Redis can tell that it was accepted
    if flushed:
        await flush(system)
    for value in (2, 1.0):
        problem(await api.submit("counted.plain", runs.input(value=value), key=key), 422, "idempotency-key-reused")
    problem(await api.submit("counted.plain", runs.input(value=1), key=key, cache="use"), 422, "idempotency-key-reused")
    again = await api.submit("counted.plain", runs.input(value=1), key=key)
    assert again.json["id"] == first.json["id"]
    assert runs.count == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "two words", "tab\tbed", "schlüssel"])
async def test_a_malformed_key_is_400(api: ApiClient, runs: Runs, key: str) -> None:
    problem(await api.submit("counted.plain", runs.input(), key=key), 400, "invalid-request")
    assert runs.count == 0


async def test_two_keys_are_400(api: ApiClient, runs: Runs) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b"), ("Authorization", f"Bearer {api.token}")]
    body = {"handler": "counted.plain", "input": runs.input()}
    async with api.session.post(f"{api.base_url}/v1/jobs", json=body, headers=headers) as response:
        assert response.status == 400


@pytest.mark.parametrize("length", [1, 255])
async def test_a_key_may_be_any_visible_ascii(api: ApiClient, runs: Runs, length: int) -> None:
    key = "".join(secrets.choice('!"#$%&()*+,-./09:;<=>?@AZ[]^_`az{|}~\\') for _ in range(length))
    first = await api.submit("counted.plain", runs.input(value=secrets.token_hex(4)), key=key)
    assert first.status in {202, 422}  # one character is soon used by another run of this test


async def test_tenants_have_their_own_keys(api: ApiClient, foreign: ApiClient, runs: Runs, key: str) -> None:
    mine = await api.submit("counted.plain", runs.input(), key=key)
    theirs = await foreign.submit("counted.plain", runs.input(value=2), key=key)
    assert (theirs.status, replayed(theirs)) == (202, False)
    assert theirs.json["id"] != mine.json["id"]


async def test_another_key_is_another_job(api: ApiClient, runs: Runs, key: str) -> None:
    answers = [await api.submit("counted.plain", runs.input(), key=f"{key}-{n}") for n in range(2)]
    assert [replayed(answer) for answer in answers] == [False, False]
    assert len({(await api.over(answer.json["id"]))["id"] for answer in answers}) == runs.count == 2


async def test_a_refused_request_does_not_use_its_key(api: ApiClient, runs: Runs, key: str) -> None:
    problem(await api.submit("counted.plain", {"file": 1}, key=key), 422, "invalid-input")
    problem(await api.submit("counted.plane", runs.input(), key=key), 404, "unknown-handler")
    answer = await api.submit("counted.plain", runs.input(), key=key)
    assert (answer.status, replayed(answer)) == (202, False)


async def test_a_used_key_with_a_request_that_would_be_refused_is_422(api: ApiClient, runs: Runs, key: str) -> None:
    await api.submit("counted.plain", runs.input(), key=key)
    problem(await api.submit("counted.plane", runs.input(), key=key), 422, "idempotency-key-reused")


async def test_a_delayed_job_is_replayed_as_it_waits(api: ApiClient, runs: Runs, key: str) -> None:
    first = await api.submit("counted.plain", runs.input(), key=key, delay_seconds=2)
    second = await api.submit("counted.plain", runs.input(), key=key, delay_seconds=2)
    assert (first.json["status"], second.json["status"]) == ("scheduled", "scheduled")
    assert (second.json, replayed(second)) == (first.json, True)
    await api.over(first.json["id"])
    assert runs.count == 1


# Without Redis


async def test_redis_flushed_in_between_changes_nothing(api: ApiClient, system: System, runs: Runs, key: str) -> None:
    first = await api.submit("counted.plain", runs.input(seconds=1), key=key)
    await flush(system)
    second = await accepted(api, "counted.plain", runs.input(seconds=1), key)
    over = await api.over(first.json["id"])
    await flush(system)
    third = await api.submit("counted.plain", runs.input(seconds=1), key=key)
    assert (second.json["id"], replayed(second)) == (first.json["id"], True)
    assert (third.status, third.json, replayed(third)) == (200, over, True)
    assert runs.count == 1


async def test_redis_killed_in_between_changes_nothing(api: ApiClient, system: System, runs: Runs, key: str) -> None:
    redis = system.processes["redis"]
    first = await api.submit("counted.plain", runs.input(), key=key)
    await redis.kill()
    second = await accepted(api, "counted.plain", runs.input(), key)
    other = await api.submit("counted.plain", runs.input(), key=f"{key}-2")
    await redis.start()
    await until_back(api)
    third = await accepted(api, "counted.plain", runs.input(), f"{key}-2")
    assert second.json["id"] == first.json["id"]
    assert (third.json["id"], replayed(third)) == (other.json["id"], True)
    await asyncio.gather(api.over(first.json["id"]), api.over(other.json["id"]))
    assert runs.count == 2


# With the store or the broker away


async def test_without_the_store_a_new_key_is_refused_and_a_known_one_answered(
    api: ApiClient, system: System, runs: Runs, key: str
) -> None:
    await api.submit("counted.plain", runs.input(), key=key)
    over = (await api.submit("counted.plain", runs.input(), key=key, wait=20)).json
    async with frozen(system, "firestore"):
        new = await api.submit("counted.plain", runs.input(), key=f"{key}-2")
        known = await api.submit("counted.plain", runs.input(), key=key)
    assert problem(new, 503, "unavailable")["accepted"] is False
    assert int(new.headers["Retry-After"]) >= 1
    assert (known.status, known.json, replayed(known)) == (200, over, True)
    retried = await accepted(api, "counted.plain", runs.input(), f"{key}-2")
    await api.over(retried.json["id"])
    assert runs.count == 2


async def test_while_the_first_is_on_its_way_others_are_told_to_come_again(
    api: ApiClient, system: System, runs: Runs, key: str
) -> None:
    async with frozen(system, "pubsub"):
        first, second = await _first_and_copy(api, runs, key)
        other = await api.submit("counted.plain", runs.input(value=2), key=key)
        problem(other, 422, "idempotency-key-reused")
    problem(second, 409, "idempotency-in-progress")
    assert int(second.headers["Retry-After"]) >= 1
    assert (await first).status in {202, 503}
    retried = await accepted(api, "counted.plain", runs.input(), key)
    again = await accepted(api, "counted.plain", runs.input(), key)
    assert retried.json["id"] == again.json["id"]
    await api.over(again.json["id"])
    assert runs.count == 1


async def _first_and_copy(api: ApiClient, runs: Runs, key: str) -> tuple["asyncio.Task[Answer]", Answer]:
    """Of two that are sent at once, the one that is on its way, and the answer of the other."""
    both = [asyncio.create_task(api.submit("counted.plain", runs.input(), key=key)) for _ in range(2)]
    done, pending = await asyncio.wait(both, timeout=4, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(pending)) == (1, 1)
    return pending.pop(), done.pop().result()


async def test_a_retry_after_503_has_one_id_and_one_effect(
    api: ApiClient, system: System, runs: Runs, key: str
) -> None:
    """R3."""
    async with frozen(system, "pubsub"):
        refused = await api.submit("counted.plain", runs.input(), key=key)
    assert problem(refused, 503, "unavailable")["accepted"] in {False, "unknown"}
    answers = [await accepted(api, "counted.plain", runs.input(), key) for _ in range(3)]
    assert len({answer.json["id"] for answer in answers}) == 1
    await api.over(answers[0].json["id"])
    assert runs.count == 1


# With shared results


async def test_a_key_stands_for_the_job_of_a_hit(api: ApiClient, system: System, runs: Runs, key: str) -> None:
    shared = await api.result("counted.cached", runs.input())
    first = await api.submit("counted.cached", runs.input(), key=key)
    assert (first.status, first.json, replayed(first)) == (200, shared, False)
    assert first.headers["Cache-Status"].startswith("sluice; hit; ttl=")
    await api.submit("counted.cached", runs.input(), cache="refresh", wait=20)
    for _ in range(2):
        again = await api.submit("counted.cached", runs.input(), key=key)
        assert (again.status, again.json, replayed(again)) == (200, shared, True)
        await flush(system)
    assert runs.count == 2


async def test_a_key_stands_for_the_job_that_was_joined(api: ApiClient, system: System, runs: Runs, key: str) -> None:
    leader = await api.submit("counted.cached", runs.input(seconds=2))
    joined = await api.submit("counted.cached", runs.input(seconds=2), key=key)
    assert joined.headers["Cache-Status"] == "sluice; fwd=miss; collapsed"
    await flush(system)
    again = await accepted(api, "counted.cached", runs.input(seconds=2), key, wait=20)
    assert leader.json["id"] == joined.json["id"] == again.json["id"]
    assert (again.status, replayed(again)) == (200, True)
    assert runs.count == 1


async def test_a_keyed_leader_is_joined_and_replayed(api: ApiClient, runs: Runs, key: str) -> None:
    leader = await api.submit("counted.cached", runs.input(seconds=1), key=key)
    assert leader.headers["Cache-Status"] == "sluice; fwd=miss"
    joined = await api.submit("counted.cached", runs.input(seconds=1), wait=20)
    again = await api.submit("counted.cached", runs.input(seconds=1), key=key)
    assert leader.json["id"] == joined.json["id"] == again.json["id"]
    assert (replayed(again), "Cache-Status" in again.headers) == (True, False)
    assert runs.count == 1


# Many at once


@pytest.mark.parametrize("handler", ["counted.plain", "counted.cached"])
async def test_a_hundred_copies_over_four_gateways_with_redis_flushed_are_one_job(
    crowd: ApiClient, fleet: System, runs: Runs, key: str, handler: str
) -> None:
    """R4."""

    async def copy(number: int) -> Answer:
        await asyncio.sleep(number * 0.01)
        return await accepted(crowd, handler, runs.input(seconds=0.5), key)

    async def flushing() -> None:
        for _ in range(12):
            await asyncio.sleep(0.1)
            await flush(fleet)

    async with asyncio.TaskGroup() as group:
        group.create_task(flushing())
        copies = [group.create_task(copy(number)) for number in range(100)]
    answers = [task.result() for task in copies]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert [replayed(answer) for answer in answers].count(False) <= 1
    await crowd.over(answers[0].json["id"])
    assert runs.count == 1


async def test_a_gateway_killed_before_it_published_leaves_a_key_that_works(
    crowd: ApiClient, fleet: System, system: System, runs: Runs, key: str
) -> None:
    """R3."""
    gateways = [fleet.processes[f"gateway-{number}"] for number in range(1, 5)]
    async with frozen(system, "pubsub"):
        first, _ = await _first_and_copy(crowd, runs, key)
        await asyncio.gather(*(gateway.kill() for gateway in gateways))
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], Exception)
    await asyncio.gather(*(gateway.start() for gateway in gateways))
    answers = await asyncio.gather(*(accepted(crowd, "counted.plain", runs.input(), key) for _ in range(10)))
    assert len({answer.json["id"] for answer in answers}) == 1
    await crowd.over(answers[0].json["id"])
    assert runs.count == 1
