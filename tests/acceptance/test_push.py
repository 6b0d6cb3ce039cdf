"""The composed system on push: the same promises, whichever way messages come to the workers."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.system import Options, System
from tests.acceptance.client import Answer, ApiClient, Json
from tests.acceptance.conftest import ACME
from tests.acceptance.lives import polled, until_running

DRAIN_SECONDS = 10.0
TINY = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PIXEL = {"image": TINY, "width": 1, "height": 1}


@pytest_asyncio.fixture(scope="module")
async def pushed(system: System, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A system of its own, its two workers pushed to, on the backends of the other."""
    options = Options(
        logs=tmp_path_factory.mktemp("pushed"),
        keys=(ACME,),
        processes={"worker": 2},
        project="acceptance-push",
        given=system.backends.given(redis_database=2),
        push=True,
        environ={"SLUICE_LEASE_SECONDS": "4", "SLUICE_RETRY_BASE_SECONDS": "0.1"},
    )
    async with System(options) as running:
        yield running


@pytest.fixture
def api(pushed: System, session: aiohttp.ClientSession) -> ApiClient:
    return ApiClient(session, pushed.base_url, ACME.token)


async def test_a_pushed_job_succeeds(api: ApiClient) -> None:
    job = await api.result("debug.echo", {"pushed": True})
    assert (job["status"], job["output"], job["attempt"]) == ("succeeded", {"pushed": True}, 1)


async def test_many_jobs_at_once_all_succeed(api: ApiClient) -> None:
    jobs = await asyncio.gather(*(api.result("debug.echo", number) for number in range(200)))
    assert [job["output"] for job in jobs] == list(range(200))
    assert {job["attempt"] for job in jobs} == {1}


async def test_a_job_that_fails_is_tried_again_by_way_of_its_timer(api: ApiClient) -> None:
    job = await api.result("debug.flaky", {"failures": 2})
    assert (job["status"], job["attempt"], job["output"]) == ("succeeded", 3, {"attempts": 3})


async def test_an_attempt_that_may_take_longer_than_a_push_is_refused_and_says_so(api: ApiClient) -> None:
    job = await api.result("debug.echo", 1, timeout_seconds=900)
    assert (job["status"], job["error"]["code"]) == ("failed", "rejected")
    assert "at most 540 s by push" in job["error"]["message"]


async def test_a_worker_that_is_told_to_leave_hands_its_jobs_over_in_time(api: ApiClient, pushed: System) -> None:
    """R14: one of two leaves while each job runs; all succeed, none twice for a lapsed lease."""
    ids = [(await api.submit("debug.sleep", {"seconds": 12})).json["id"] for _ in range(8)]
    await asyncio.gather(*(until_running(api, id) for id in ids))
    leaving = pushed.processes["worker-1"]
    before = asyncio.get_running_loop().time()
    how = await leaving.stop()
    assert how is not None
    assert how.code == 0
    assert asyncio.get_running_loop().time() - before < DRAIN_SECONDS
    jobs = await asyncio.gather(*(api.over(id) for id in ids))
    await leaving.start()
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert {job["attempt"] for job in jobs} == {1}


async def test_what_a_killed_worker_held_is_run_by_the_other(api: ApiClient, pushed: System) -> None:
    ids = [(await api.submit("debug.sleep", {"seconds": 3})).json["id"] for _ in range(8)]
    await asyncio.gather(*(until_running(api, id) for id in ids))
    await pushed.processes["worker-2"].restart()
    jobs = await asyncio.gather(*(api.over(id) for id in ids))
    assert {job["status"] for job in jobs} == {"succeeded"}


async def test_a_paused_queue_is_not_pushed_until_it_goes_on(api: ApiClient) -> None:
    """Whether all have heard of the pause is not to be seen from outside: jobs are sent until one stays."""
    await api.request("POST", "/v1/queues/images/pause")
    try:
        id = await _left_alone(api)
    finally:
        await api.request("POST", "/v1/queues/images/resume")
    job = await api.over(id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)


async def _left_alone(api: ApiClient) -> str:
    """A job of the paused queue that waits though workers and bridge have had time for it."""
    for _ in range(10):
        job = (await api.submit("image.thumbnail", PIXEL, wait=3, cache="off")).json
        if job["status"] == "queued":
            return str(job["id"])
    raise AssertionError("a paused queue is pushed all the same")


async def test_whoever_is_not_the_issuer_runs_nothing(api: ApiClient, pushed: System) -> None:
    """S12: where the broker is an emulator as anywhere."""
    assert pushed.pushed is not None
    url = f"{pushed.pushed.address}/push/default/interactive"
    for headers in ({}, {"Authorization": "Bearer e30.e30.e30"}, {"Authorization": "Basic eDp5"}):
        async with api.session.post(url, json={"message": {}}, headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_operators_see_what_is_in_flight_of_a_queue_that_is_pushed(api: ApiClient) -> None:
    """What waits nobody here knows: the broker holds it back as it sees fit."""
    ids = [(await api.submit("debug.sleep", {"seconds": 5})).json["id"] for _ in range(3)]
    await asyncio.gather(*(until_running(api, id) for id in ids))
    found = await polled(
        lambda: api.request("GET", "/v1/queues"), lambda answer: _interactive(answer)["in_flight"] == 3
    )
    assert _interactive(found)["workers"] >= 2
    assert _interactive(found)["backlog"] is None
    await asyncio.gather(*(api.over(id) for id in ids))


def _interactive(answer: Answer) -> Json:
    [queue] = [queue for queue in answer.json["data"] if queue["name"] == "default"]
    [lane] = [lane for lane in queue["lanes"] if lane["lane"] == "interactive"]
    return dict(lane)
