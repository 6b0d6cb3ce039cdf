"""Results that are shared and work that is joined: each row of the contract, over HTTP, with the runs counted."""

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.local.system import System
from tests.acceptance.client import Answer, ApiClient
from tests.acceptance.counted import BRIEF_SECONDS, Runs
from tests.acceptance.redis_faults import scan, until_back
from tests.acceptance.test_faults import frozen
from tests.acceptance.test_jobs import problem

MISS = "sluice; fwd=miss"
COLLAPSED = "sluice; fwd=miss; collapsed"
OVER = {"succeeded", "failed", "canceled", "expired"}


def cached(answer: Answer) -> str | None:
    """What the answer says of the cache."""
    status: str | None = answer.headers.get("Cache-Status")
    return status


def ttl(answer: Answer) -> int:
    """Of a hit."""
    match = re.fullmatch(r"sluice; hit; ttl=(\d+)", cached(answer) or "")
    assert match, (answer.status, cached(answer))
    return int(match[1])


async def test_the_second_request_is_answered_with_the_finished_job(api: ApiClient, runs: Runs) -> None:
    first = await api.submit("counted.cached", runs.input(value={"b": 1, "a": [1.0, "ü"]}))
    assert (first.status, cached(first)) == (202, MISS)
    job = await api.over(first.json["id"])
    second = await api.submit("counted.cached", runs.input(value={"a": [1.0, "ü"], "b": 1}))
    assert (second.status, second.body) == (200, (await api.get(job["id"])).body)
    assert second.headers["Location"] == job["urls"]["self"]
    assert 590 <= ttl(second) + int(second.headers["Age"]) <= 600
    assert second.headers["ETag"] == (await api.get(job["id"])).headers["ETag"]
    assert runs.count == 1


async def test_a_hit_with_a_wait_is_answered_at_once(api: ApiClient, runs: Runs) -> None:
    job = await api.result("counted.cached", runs.input())
    answer = await api.submit("counted.cached", runs.input(), wait=10)
    assert (answer.status, answer.json) == (200, job)
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert "Age" in answer.headers


async def test_another_input_is_other_work(api: ApiClient, runs: Runs) -> None:
    values = [1, 1.0, "1", True, None, [], {}, [1], {"a": 1}, {"a": None}]
    jobs = await asyncio.gather(*(api.result("counted.cached", runs.input(value=value)) for value in values))
    assert [job["output"]["value"] for job in jobs] == values
    assert runs.count == len({job["id"] for job in jobs}) == len(values)


async def test_who_asks_for_what_is_under_way_joins_it(api: ApiClient, runs: Runs) -> None:
    first = await api.submit("counted.cached", runs.input(seconds=2))
    second = await api.submit("counted.cached", runs.input(seconds=2))
    assert (second.status, cached(second)) == (202, COLLAPSED)
    assert second.json["id"] == first.json["id"]
    assert second.headers["Location"] == f"/v1/jobs/{first.json['id']}"
    assert second.json["handler"] == "counted.cached"
    third = await api.submit("counted.cached", runs.input(seconds=2), wait=20)
    assert (third.status, cached(third), third.json["status"]) == (200, COLLAPSED, "succeeded")
    assert third.json["id"] == first.json["id"]
    assert runs.count == 1


async def test_who_joins_sees_the_state_that_others_see(api: ApiClient, runs: Runs) -> None:
    first = await api.submit("counted.cached", runs.input(seconds=4))
    running = await api.get(first.json["id"], wait=10, etag=first.headers["ETag"])
    assert running.json["status"] == "running"
    joined = await api.submit("counted.cached", runs.input(seconds=4))
    assert (joined.json["status"], joined.headers["ETag"]) == ("running", running.headers["ETag"])


async def test_tenants_share_nothing(api: ApiClient, foreign: ApiClient, runs: Runs) -> None:
    mine = await api.result("counted.cached", runs.input())
    theirs = await foreign.submit("counted.cached", runs.input(), wait=20)
    assert cached(theirs) == MISS
    assert theirs.json["id"] != mine["id"]
    assert runs.count == 2


async def test_a_handler_without_cache_for_shares_nothing(api: ApiClient, runs: Runs) -> None:
    answers = [await api.submit("counted.plain", runs.input(), wait=20) for _ in range(2)]
    assert [cached(answer) for answer in answers] == [None, None]
    assert runs.count == 2


@pytest.mark.parametrize(
    "options",
    [
        {"labels": {"a": "b"}},
        {"max_attempts": 5},
        {"timeout_seconds": 60},
        {"expires_in_seconds": 86_400},
        {"delay_seconds": 0.1},
        {"cache": "off"},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_a_request_with_options_neither_reads_nor_writes(
    api: ApiClient, runs: Runs, options: dict[str, Any]
) -> None:
    own = await api.submit("counted.cached", runs.input(), wait=20, **options)
    assert cached(own) is None
    await api.over(own.json["id"])
    shared = await api.submit("counted.cached", runs.input(), wait=20)
    assert cached(shared) == MISS
    again = await api.submit("counted.cached", runs.input(), wait=20, **options)
    assert cached(again) is None
    await api.over(again.json["id"])
    assert len({own.json["id"], shared.json["id"], again.json["id"]}) == 3
    assert runs.count == 3


async def test_a_refresh_runs_and_replaces(api: ApiClient, runs: Runs) -> None:
    old = await api.result("counted.cached", runs.input())
    fresh = await api.submit("counted.cached", runs.input(), cache="refresh", wait=20)
    assert (fresh.status, cached(fresh)) == (200, "sluice; fwd=request")
    assert fresh.json["output"]["run"] != old["output"]["run"]
    assert (await api.submit("counted.cached", runs.input(), cache="use")).json == fresh.json
    assert runs.count == 2


async def test_a_refresh_is_joined_and_outlives_the_run_that_it_overtook(api: ApiClient, runs: Runs) -> None:
    slow = runs.input(seconds=2)
    first = await api.submit("counted.cached", slow)
    fresh = await api.submit("counted.cached", slow, cache="refresh")
    joined = await api.submit("counted.cached", slow)
    assert joined.json["id"] == fresh.json["id"] != first.json["id"]
    await asyncio.gather(*(api.over(each.json["id"]) for each in (first, fresh)))
    assert (await api.submit("counted.cached", slow)).json["id"] == fresh.json["id"]
    assert runs.count == 2


@pytest.mark.parametrize("cache", ["", "no", "USE", 1, True, ["use"]])
async def test_another_word_for_the_cache_is_400(api: ApiClient, runs: Runs, cache: object) -> None:
    body = problem(await api.submit("counted.cached", runs.input(), cache=cache), 400, "invalid-request")
    assert body["errors"] == [{"pointer": "/cache", "detail": "must be use, refresh or off"}]
    assert runs.count == 0


async def test_who_joined_a_job_that_fails_sees_it_fail_and_the_next_leads_anew(api: ApiClient, runs: Runs) -> None:
    work = runs.input(seconds=1, reject=True)
    first = await api.submit("counted.cached", work)
    joined = await api.submit("counted.cached", work, wait=20)
    assert (joined.json["id"], joined.json["status"]) == (first.json["id"], "failed")
    after = await api.submit("counted.cached", work, wait=20)
    assert (after.status, cached(after), after.json["status"]) == (200, MISS, "failed")
    assert after.json["id"] != first.json["id"]
    assert runs.count == 2


async def test_who_joined_a_job_that_is_tried_again_sees_it_succeed(api: ApiClient, runs: Runs) -> None:
    work = runs.input(failures=1)
    first = await api.submit("counted.cached", work)
    joined = await api.submit("counted.cached", work, wait=30)
    assert cached(joined) == COLLAPSED
    over = await api.over(first.json["id"])
    assert (over["status"], over["attempt"]) == ("succeeded", 2)
    assert (await api.submit("counted.cached", work)).json == over
    assert runs.count == 2


async def test_a_result_ages_and_ends(api: ApiClient, runs: Runs) -> None:
    job = await api.result("counted.brief", runs.input())
    ages = []
    async with asyncio.timeout(20):
        while True:
            answer = await api.submit("counted.brief", runs.input(), wait=20)
            if cached(answer) == MISS:
                break
            assert answer.json == job
            assert ttl(answer) <= BRIEF_SECONDS
            ages.append(int(answer.headers["Age"]))
            await asyncio.sleep(0.1)
    assert ages == sorted(ages)
    assert ages[0] <= 1
    assert ages[-1] in {BRIEF_SECONDS - 1, BRIEF_SECONDS}
    assert runs.count == 2


async def test_a_hit_needs_neither_broker_nor_store(api: ApiClient, system: System, runs: Runs) -> None:
    job = await api.result("counted.cached", runs.input())
    assert (await api.submit("counted.cached", runs.input())).status == 200
    async with frozen(system, "pubsub", "firestore"):
        answers = await asyncio.gather(*(api.submit("counted.cached", runs.input()) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert all(answer.json == job for answer in answers)


async def test_a_publish_that_nobody_reported_is_made_good_by_who_joins(
    api: ApiClient, system: System, runs: Runs
) -> None:
    async with frozen(system, "pubsub"):
        first = await api.submit("counted.cached", runs.input())
    body = problem(first, 503, "unavailable")
    assert body["accepted"] in {False, "unknown"}
    second = await api.submit("counted.cached", runs.input(), wait=30)
    assert cached(second) in {COLLAPSED, MISS}
    third = await api.submit("counted.cached", runs.input(), wait=30)
    assert third.json["id"] == second.json["id"]
    assert third.json["status"] == "succeeded"
    assert runs.count == 1


async def test_without_redis_every_request_runs(api: ApiClient, system: System, runs: Runs) -> None:
    before = await api.result("counted.cached", runs.input())
    redis = system.processes["redis"]
    await redis.kill()
    answers = [await api.submit("counted.cached", runs.input()) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 202]
    assert {cached(answer) for answer in answers} == {"sluice; fwd=miss; detail=unavailable"}
    await redis.start()
    jobs = await asyncio.gather(*(api.over(answer.json["id"]) for answer in answers))
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert len({before["id"], *(job["id"] for job in jobs)}) == runs.count == 4
    async with asyncio.timeout(30):  # until gateway and worker have both found it again
        while "hit" not in (cached(await api.submit("counted.cached", runs.input(), wait=20)) or ""):
            pass
    count = runs.count
    again = await asyncio.gather(*(api.submit("counted.cached", runs.input()) for _ in range(10)))
    assert ({answer.status for answer in again}, runs.count) == ({200}, count)
    await until_back(api)


async def test_redis_frozen_delays_and_refuses_nobody(
    api: ApiClient, system: System, runs: Runs, tmp_path: Path
) -> None:
    other = Runs(tmp_path / "other")
    await api.result("counted.cached", runs.input())
    async with frozen(system, "redis"):
        async with asyncio.timeout(15):
            answers = [await api.submit("counted.cached", work.input()) for work in (runs, other)]
    assert [answer.status for answer in answers] == [202, 202]
    jobs = await asyncio.gather(*(api.over(answer.json["id"]) for answer in answers))
    assert {job["status"] for job in jobs} == {"succeeded"}
    await until_back(api)


async def test_a_thousand_equal_requests_over_four_gateways_run_once(
    crowd: ApiClient, fleet: System, session: aiohttp.ClientSession, runs: Runs
) -> None:
    work = runs.input(value="shared", seconds=2)
    answers = await asyncio.gather(*(crowd.submit("counted.cached", work, wait=60) for _ in range(1_000)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].json["output"]["value"] == "shared"
    assert {cached(answer) for answer in answers} <= {MISS, COLLAPSED} | {f"sluice; hit; ttl={n}" for n in range(601)}
    assert [cached(answer) for answer in answers].count(MISS) == 1
    assert runs.count == 1
    for number in range(1, 5):
        assert await _posts(session, fleet.admin_ports[f"gateway-{number}"]) > 50


async def test_a_leader_that_died_before_it_published_holds_up_nobody(
    crowd: ApiClient, fleet: System, system: System, runs: Runs
) -> None:
    gateways = [fleet.processes[f"gateway-{number}"] for number in range(1, 5)]
    async with frozen(system, "pubsub"):
        leading = asyncio.create_task(crowd.submit("counted.cached", runs.input()))
        await _until_led(fleet)
        await asyncio.gather(*(gateway.kill() for gateway in gateways))
        with pytest.raises(aiohttp.ClientError):
            await leading
    await asyncio.gather(*(gateway.start() for gateway in gateways))
    answers = await asyncio.gather(*(crowd.submit("counted.cached", runs.input(), wait=60) for _ in range(40)))
    assert {answer.status for answer in answers} == {200}
    assert {cached(answer) for answer in answers} <= {COLLAPSED} | {f"sluice; hit; ttl={n}" for n in range(601)}
    assert len({answer.body for answer in answers}) == 1
    assert runs.count == 1


async def _posts(session: aiohttp.ClientSession, admin_port: int) -> float:
    """How many jobs were posted to the gateway."""
    async with session.get(f"http://127.0.0.1:{admin_port}/metrics") as response:
        found = re.findall(r'sluice_http_requests_total{route="/v1/jobs",status="\d+"} ([\d.]+)', await response.text())
    return sum(map(float, found))


async def _until_led(fleet: System) -> None:
    """Return when somebody leads a flight."""
    async with asyncio.timeout(10):
        while not await scan(fleet, "flight:*"):
            await asyncio.sleep(0.01)
