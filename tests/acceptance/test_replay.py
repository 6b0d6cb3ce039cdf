"""Replaying jobs: the same input again, once for each number that is asked for."""

import asyncio

import pytest

from deploy.local.system import System
from tests.acceptance.client import Answer, ApiClient
from tests.acceptance.counted import Runs
from tests.acceptance.lives import cancel, frozen, nobody_works, polled, queued, until
from tests.acceptance.test_jobs import FIELDS, problem


async def replay(api: ApiClient, id: str, number: object = None) -> Answer:
    body = {} if number is None else {"json": {"number": number}}
    return await api.request("POST", f"/v1/jobs/{id}/replay", **body)


async def test_a_replay_is_a_new_job_with_the_same_input(api: ApiClient, runs: Runs) -> None:
    original = await api.result(
        "counted.plain", runs.input(value={"ü": 1}), labels={"a": "b"}, max_attempts=2, timeout_seconds=7
    )
    answer = await replay(api, original["id"])
    assert answer.status == 202
    made = answer.json
    assert list(made) == FIELDS
    assert answer.headers["Location"] == made["urls"]["self"]
    assert made["id"] != original["id"]
    assert (made["replay_of"], made["labels"], made["max_attempts"]) == (original["id"], {"a": "b"}, 2)
    assert made["created_at"] > original["finished_at"]
    over = await api.over(made["id"])
    assert (over["status"], over["replay_of"]) == ("succeeded", original["id"])
    assert over["output"]["value"] == {"ü": 1}
    assert over["output"]["run"] != original["output"]["run"]
    assert runs.count == 2
    assert (await api.get(original["id"])).json == original


async def test_asking_twice_makes_one(api: ApiClient, runs: Runs) -> None:
    original = await api.result("counted.plain", runs.input())
    first = await replay(api, original["id"])
    over = await api.over(first.json["id"])
    again = await replay(api, original["id"])
    assert (again.status, again.json) == (200, over)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await replay(api, original["id"], 1)).json == over
    assert runs.count == 2


async def test_a_further_replay_has_the_next_number(api: ApiClient, runs: Runs) -> None:
    original = await api.result("counted.plain", runs.input(reject=True))
    assert original["status"] == "failed"
    ids = [(await replay(api, original["id"], number)).json["id"] for number in (1, 2, 3, 2)]
    assert len(set(ids)) == 3
    assert ids[1] == ids[3]
    of_a_replay = await replay(api, (await api.over(ids[0]))["id"])
    assert of_a_replay.json["replay_of"] == ids[0]
    await asyncio.gather(*(api.over(id) for id in (*ids, of_a_replay.json["id"])))
    assert runs.count == 5


async def test_many_who_ask_at_once_get_one(api: ApiClient, runs: Runs) -> None:
    original = await api.result("counted.plain", runs.input())

    async def ask() -> str:
        answer = await polled(lambda: replay(api, original["id"]), lambda answer: answer.status in {200, 202})
        return str(answer.json["id"])

    ids = await asyncio.gather(*(ask() for _ in range(30)))
    assert len(set(ids)) == 1
    await api.over(ids[0])
    assert runs.count == 2


async def test_a_cached_result_is_not_what_a_replay_gets(api: ApiClient, runs: Runs) -> None:
    original = await api.result("counted.cached", runs.input())
    made = await replay(api, original["id"])
    assert (await api.over(made.json["id"]))["output"]["run"] != original["output"]["run"]
    assert runs.count == 2


async def test_a_job_that_is_not_over_is_409_with_the_job(api: ApiClient, system: System) -> None:
    async with nobody_works(system):
        id = await queued(api)
        body = problem(await replay(api, id), 409, "not-terminal")
        assert body["job"]["id"] == id  # type: ignore[index]
    await api.over(id)
    delayed = (await api.submit("debug.echo", 1, delay_seconds=60)).json["id"]
    problem(await replay(api, delayed), 409, "not-terminal")
    await cancel(api, delayed)
    assert (await replay(api, delayed)).status == 202


async def test_a_canceled_job_is_replayed_once_a_worker_met_it(api: ApiClient, system: System, runs: Runs) -> None:
    async with nobody_works(system):
        id = await queued(api, "counted.plain", runs.input())
        await cancel(api, id)
        problem(await replay(api, id), 409, "input-unknown")
    await until(api, id, lambda job: job["handler"] is not None)
    made = await replay(api, id)
    assert made.status == 202
    assert (await api.over(made.json["id"]))["status"] == "succeeded"
    assert runs.count == 1


async def test_a_deleted_job_is_410(api: ApiClient) -> None:
    job = await api.result("debug.echo", 1)
    assert (await api.request("DELETE", f"/v1/jobs/{job['id']}")).status == 204
    problem(await replay(api, job["id"]), 410, "gone")


async def test_a_foreign_or_invented_job_is_404(api: ApiClient, foreign: ApiClient) -> None:
    id = (await api.result("debug.echo", 1))["id"]
    problem(await replay(foreign, id), 404, "not-found")
    problem(await replay(api, id[:-1] + ("0" if id[-1] != "0" else "1")), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        ({"number": 0}, 422, "out-of-range"),
        ({"number": 1_001}, 422, "out-of-range"),
        ({"number": "1"}, 400, "invalid-request"),
        ({"number": True}, 400, "invalid-request"),
        ({"count": 1}, 400, "invalid-request"),
        ([], 400, "invalid-request"),
    ],
)
async def test_what_a_replay_does_not_take_is_refused(api: ApiClient, body: object, status: int, slug: str) -> None:
    id = (await api.result("debug.echo", 1))["id"]
    problem(await api.request("POST", f"/v1/jobs/{id}/replay", json=body), status, slug)
    problem(await api.request("POST", f"/v1/jobs/{id}/replay?number=1"), 400, "invalid-request")


async def test_the_store_frozen_is_503_and_nothing_is_made(api: ApiClient, system: System, runs: Runs) -> None:
    original = await api.result("counted.plain", runs.input())
    async with frozen(system, "firestore"):
        answer = await replay(api, original["id"])
    problem(answer, 503, "unavailable")
    made = await polled(lambda: replay(api, original["id"]), lambda answer: answer.status in {200, 202})
    await api.over(made.json["id"])
    assert runs.count == 2
