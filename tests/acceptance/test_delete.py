"""Deleting jobs: gone everywhere, for everyone, and staying so."""

import asyncio

from deploy.local.system import System
from shared.storage.firestore import FirestoreDatabase, FirestoreJobs, FirestoreTimers
from tests.acceptance.client import Answer, ApiClient
from tests.acceptance.counted import Runs
from tests.acceptance.lives import cancel, frozen, nobody_works, polled, queued, until_running, without_redis
from tests.acceptance.redis_faults import flush, scan
from tests.acceptance.test_jobs import problem


async def delete(api: ApiClient, id: str) -> Answer:
    return await api.request("DELETE", f"/v1/jobs/{id}")


async def gone(api: ApiClient, id: str) -> None:
    """Every way of looking at the job says so."""
    problem(await api.get(id), 410, "gone")
    problem(await api.get(id, wait=2), 410, "gone")
    problem(await api.request("GET", f"/v1/jobs/{id}?expand=input"), 410, "gone")
    problem(await api.request("GET", f"/v1/jobs/{id}/explain"), 410, "gone")
    problem(await api.request("GET", f"/v1/jobs/{id}/events"), 410, "gone")
    problem(await api.request("POST", f"/v1/jobs/{id}/replay"), 410, "gone")
    problem(await cancel(api, id), 410, "gone")


async def test_a_deleted_job_is_gone(api: ApiClient) -> None:
    job = await api.result("debug.echo", {"secret": 1}, labels={"team": "gone"})
    assert (await api.get(job["id"])).status == 200
    answer = await delete(api, job["id"])
    assert (answer.status, answer.body) == (204, b"")
    await gone(api, job["id"])
    assert (await delete(api, job["id"])).status == 204
    await gone(api, job["id"])
    listed = await api.request("GET", "/v1/jobs?label.team=gone")
    assert listed.json["data"] == []


async def test_nothing_of_its_data_is_kept_anywhere(api: ApiClient, system: System) -> None:
    word = "canary-of-deletion"
    job = await api.result("unruly.talk", {"chunks": 2, "size": 10}, labels={word: word})
    other = await api.result("debug.echo", word, labels={word: word})
    for id in (job["id"], other["id"]):
        assert (await delete(api, id)).status == 204
        keys = await scan(system, f"*{id}*")
        assert keys == [f"job:{{{id}}}"], "only the word that it is deleted"
    async with FirestoreDatabase(system.options.project, system.backends.firestore.address) as database:
        found = await FirestoreJobs(database).read(other["id"])
    assert found is not None
    assert word not in str(found.value)


async def test_a_canceled_delayed_job_leaves_no_timer(api: ApiClient, system: System) -> None:
    id = (await api.submit("debug.echo", "in the timer", delay_seconds=2)).json["id"]
    await cancel(api, id)
    async with FirestoreDatabase(system.options.project, system.backends.firestore.address) as database:
        timers = FirestoreTimers(database)

        async def ids() -> set[str]:
            found = [await timers.due([shard], until=2**45, limit=500) for shard in range(16)]
            return {each.value.id for page in found for each in page}

        assert f"{id}:1" in await ids()
        assert (await delete(api, id)).status == 204
        assert f"{id}:1" not in await ids()
    await gone(api, id)


async def test_a_job_that_is_not_over_is_409_with_the_job(api: ApiClient, system: System) -> None:
    async with nobody_works(system):
        id = await queued(api)
        body = problem(await delete(api, id), 409, "not-terminal")
        assert body["job"]["status"] == "queued"  # type: ignore[index]
    await api.over(id)
    running = (await api.submit("debug.sleep", {"seconds": 60})).json["id"]
    await until_running(api, running)
    problem(await delete(api, running), 409, "not-terminal")
    await cancel(api, running)
    await api.over(running)
    assert (await delete(api, running)).status == 204
    delayed = (await api.submit("debug.echo", 1, delay_seconds=60)).json["id"]
    problem(await delete(api, delayed), 409, "not-terminal")
    await cancel(api, delayed)
    assert (await delete(api, delayed)).status == 204


async def test_a_message_that_comes_late_changes_nothing(api: ApiClient, system: System, runs: Runs) -> None:
    """A job canceled and deleted before a worker met it: its message meets the stub."""
    async with nobody_works(system):
        id = await queued(api, "counted.plain", runs.input())
        await cancel(api, id)
        assert (await delete(api, id)).status == 204
        await gone(api, id)
    await api.result("debug.echo", "the queue moves")
    await gone(api, id)
    assert runs.count == 0


async def test_every_gateway_forgets_it(fleet: System, crowd: ApiClient, runs: Runs) -> None:
    job = await crowd.result("counted.plain", runs.input())
    reads = await asyncio.gather(*(crowd.get(job["id"]) for _ in range(60)))  # each gateway holds it now
    assert {answer.status for answer in reads} == {200}
    assert (await delete(crowd, job["id"])).status == 204
    await polled(lambda: crowd.get(job["id"]), lambda answer: answer.status == 410)
    await asyncio.sleep(0.1)  # for the word to reach every gateway
    reads = await asyncio.gather(*(crowd.get(job["id"]) for _ in range(60)))
    assert {answer.status for answer in reads} == {410}


async def test_redis_flushed_afterwards_brings_nothing_back(api: ApiClient, system: System) -> None:
    id = (await api.result("debug.echo", 1))["id"]
    await delete(api, id)
    await flush(system)
    await gone(api, id)


async def test_redis_frozen_meanwhile_is_cleaned_once_it_is_back(api: ApiClient, system: System) -> None:
    id = (await api.result("debug.echo", {"secret": 2}))["id"]
    async with without_redis(api, system):
        assert (await delete(api, id)).status == 204
        problem(await api.get(id), 410, "gone")
    async with asyncio.timeout(10):
        while await scan(system, f"*{id}*") != [f"job:{{{id}}}"]:
            await asyncio.sleep(0.05)
    await gone(api, id)


async def test_the_next_equal_request_runs_anew(api: ApiClient, runs: Runs) -> None:
    job = await api.result("counted.cached", runs.input())
    assert (await api.submit("counted.cached", runs.input())).json == job
    await delete(api, job["id"])
    other = await api.result("counted.cached", runs.input())
    assert other["id"] != job["id"]
    assert runs.count == 2


async def test_the_store_frozen_is_503_and_the_job_is_whole(api: ApiClient, system: System) -> None:
    job = await api.result("debug.echo", 1)
    async with frozen(system, "firestore"):
        problem(await delete(api, job["id"]), 503, "unavailable")
    answer = await polled(lambda: delete(api, job["id"]), lambda answer: answer.status != 503)
    assert answer.status == 204
    await gone(api, job["id"])


async def test_a_foreign_or_invented_job_is_404(api: ApiClient, foreign: ApiClient) -> None:
    job = await api.result("debug.echo", 1)
    problem(await delete(foreign, job["id"]), 404, "not-found")
    problem(await delete(api, job["id"][:-1] + ("0" if job["id"][-1] != "0" else "1")), 404, "not-found")
    assert (await api.get(job["id"])).json == job
    problem(await api.request("DELETE", f"/v1/jobs/{job['id']}?force=1"), 400, "invalid-request")
