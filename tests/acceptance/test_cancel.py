"""Canceling jobs: whatever state they are in, whoever answers, and whoever comes first."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from deploy.local.system import System
from tests.acceptance.client import Answer, ApiClient
from tests.acceptance.counted import Runs
from tests.acceptance.lives import cancel, frozen, nobody_works, polled, queued, until, until_running, without_redis
from tests.acceptance.test_jobs import FIELDS, problem

FELT_SECONDS = 5.0
"""Within which a running handler is told, whoever is down."""
GRACE_SECONDS = 2.0


def canceled(answer: Answer) -> None:
    assert answer.status == 200, answer.body
    assert answer.json["status"] == "canceled"
    assert answer.json["cancel_requested_at"] is not None
    assert answer.json["finished_at"] is not None


async def test_a_queued_job_is_canceled_at_once_and_never_runs(api: ApiClient, system: System, runs: Runs) -> None:
    async with nobody_works(system):
        id = await queued(api, "counted.plain", runs.input())
        answer = await cancel(api, id)
        canceled(answer)
        assert list(answer.json) == FIELDS
        assert answer.json["started_at"] is None
        again = await cancel(api, id)
        assert (again.status, again.body) == (200, answer.body)
        assert (await api.get(id)).body == answer.body
        assert (await api.get(id, wait=5)).status == 200
    met = await until(api, id, lambda job: job["handler"] is not None)
    assert (met["status"], met["handler"], met["labels"]) == ("canceled", "counted.plain", {})
    assert {**met, **dict.fromkeys(("handler", "labels", "max_attempts"))} == answer.json
    assert (await api.get(id)).headers["ETag"] != answer.headers["ETag"]
    whole = await api.request("GET", f"/v1/jobs/{id}?expand=input")
    assert whole.json["input"] == {"file": str(runs.file)}
    assert runs.count == 0


async def test_the_input_of_a_canceled_job_is_null_until_a_worker_met_it(api: ApiClient, system: System) -> None:
    async with nobody_works(system):
        id = await queued(api, input="later")
        await cancel(api, id)
        assert (await api.request("GET", f"/v1/jobs/{id}?expand=input")).json["input"] is None
    expanded = await polled(
        lambda: api.request("GET", f"/v1/jobs/{id}?expand=input"), lambda answer: answer.json["input"] is not None
    )
    assert expanded.json["input"] == "later"


async def test_a_delayed_job_is_canceled_at_once_and_its_time_passes(api: ApiClient, runs: Runs) -> None:
    id = (await api.submit("counted.plain", runs.input(), delay_seconds=2, labels={"a": "b"})).json["id"]
    answer = await cancel(api, id)
    canceled(answer)
    assert (answer.json["handler"], answer.json["labels"]) == ("counted.plain", {"a": "b"})
    later = await api.submit("debug.echo", 1, delay_seconds=3)
    await api.over(later.json["id"])
    assert (await api.get(id)).body == answer.body
    assert runs.count == 0


async def test_a_job_that_waits_for_its_retry_is_canceled_at_once(api: ApiClient) -> None:
    id = (await api.submit("unruly.later", {"after": 60})).json["id"]
    await until(api, id, lambda job: job["status"] == "scheduled")
    answer = await cancel(api, id)
    canceled(answer)
    assert answer.json["attempt"] == 1
    assert [each["attempt"] for each in answer.json["error"]["attempts"]] == [1]


async def test_a_running_job_is_asked_to_stop_and_stops(api: ApiClient) -> None:
    id = (await api.submit("debug.sleep", {"seconds": 60})).json["id"]
    running = await until_running(api, id)
    began = time.monotonic()
    answer = await cancel(api, id)
    assert answer.status == 202
    assert answer.json["status"] == "running"
    assert answer.json["cancel_requested_at"] is not None
    assert {**answer.json, "cancel_requested_at": None} == running
    over = await api.over(id)
    assert (over["status"], over["output"]) == ("canceled", None)
    assert over["cancel_requested_at"] == answer.json["cancel_requested_at"]
    assert time.monotonic() - began < 2.0, "it was called, so it need not wait for a renewal"
    canceled(await cancel(api, id))


@pytest.mark.parametrize("handler", ["unruly.process", "unruly.thread", "unruly.deaf"])
async def test_a_handler_that_does_not_listen_is_fenced_after_the_grace(
    api: ApiClient, handler: str, tmp_path: Path
) -> None:
    file = tmp_path / "done"
    id = (await api.submit(handler, {"seconds": 6, "file": str(file)})).json["id"]
    await until_running(api, id)
    began = time.monotonic()
    assert (await cancel(api, id)).status == 202
    over = await api.over(id)
    assert time.monotonic() - began < GRACE_SECONDS + 2.0
    assert (over["status"], over["output"]) == ("canceled", None)
    body = (await api.get(id)).body
    if handler != "unruly.process":  # that one was killed
        await polled(lambda: api.request("GET", "/livez"), lambda _: file.exists())
    assert (await api.get(id)).body == body
    assert (await api.result("debug.echo", "still here"))["output"] == "still here"


async def test_a_running_job_hears_of_it_without_redis(api: ApiClient, system: System) -> None:
    id = (await api.submit("debug.sleep", {"seconds": 60})).json["id"]
    await until_running(api, id)
    async with without_redis(api, system):
        began = time.monotonic()
        assert (await cancel(api, id)).status == 202
        await polled(lambda: api.get(id), lambda answer: answer.json["status"] == "canceled")
        assert time.monotonic() - began < FELT_SECONDS


async def test_asking_twice_is_asking_once(api: ApiClient) -> None:
    id = (await api.submit("unruly.deaf", {"seconds": 4})).json["id"]
    await until_running(api, id)
    answers = await asyncio.gather(*(cancel(api, id) for _ in range(10)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["cancel_requested_at"] for answer in answers}) == 1
    assert (await api.over(id))["status"] == "canceled"


@pytest.mark.parametrize(
    ("handler", "input", "status"),
    [("debug.echo", 1, "succeeded"), ("debug.fail", {"message": "no"}, "failed")],
)
async def test_a_job_that_is_over_is_409_with_the_job(api: ApiClient, handler: str, input: object, status: str) -> None:
    job = await api.result(handler, input, max_attempts=1)
    body = problem(await cancel(api, job["id"]), 409, "already-terminal")
    assert body["job"] == job
    assert job["status"] == status
    assert (await api.get(job["id"])).json == job


async def test_an_expired_job_is_409(api: ApiClient, system: System) -> None:
    async with nobody_works(system):
        id = await queued(api, expires_in_seconds=1)
        await asyncio.sleep(1.2)  # its lifetime
    await until(api, id, lambda job: job["status"] == "expired")
    body = problem(await cancel(api, id), 409, "already-terminal")
    assert body["job"]["status"] == "expired"  # type: ignore[index]


async def test_of_a_cancel_and_a_finish_one_wins(api: ApiClient) -> None:
    rng = random.Random(3)

    async def race(number: int) -> tuple[int, str]:
        id = (await api.submit("debug.echo", number)).json["id"]
        await asyncio.sleep(rng.random() * 0.12)
        answer = await cancel(api, id)
        over = await api.over(id)
        assert (await api.get(id)).json == over or over["handler"] is None
        assert over["output"] == (number if over["status"] == "succeeded" else None)
        return answer.status, over["status"]

    results = await asyncio.gather(*(race(number) for number in range(150)))
    assert set(results) <= {(200, "canceled"), (409, "succeeded"), (202, "canceled"), (202, "succeeded")}


async def test_a_store_that_does_not_answer_is_503_and_nothing_is_canceled_unseen(
    api: ApiClient, system: System
) -> None:
    id = (await api.submit("debug.sleep", {"seconds": 8})).json["id"]
    await until_running(api, id)
    async with frozen(system, "firestore"):
        answer = await cancel(api, id)
    problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    again = await cancel(api, id)
    assert again.status in {200, 202}
    assert (await api.over(id))["status"] == "canceled"


async def test_the_job_of_a_lost_worker_is_canceled(api: ApiClient, system: System) -> None:
    id = (await api.submit("debug.sleep", {"seconds": 60})).json["id"]
    await until_running(api, id)
    async with nobody_works(system):
        assert (await cancel(api, id)).status == 202
        canceled(await polled(lambda: cancel(api, id), lambda answer: answer.status == 200))
        assert (await api.get(id)).json["status"] == "canceled"
    assert (await api.over(id))["status"] == "canceled"


async def test_a_foreign_or_invented_job_is_404(api: ApiClient, foreign: ApiClient) -> None:
    id = (await api.submit("debug.sleep", {"seconds": 1})).json["id"]
    problem(await cancel(foreign, id), 404, "not-found")
    problem(await cancel(api, id[:-1] + ("0" if id[-1] != "0" else "1")), 404, "not-found")
    assert (await api.over(id))["status"] == "succeeded"


async def test_what_a_cancel_does_not_take_is_refused(api: ApiClient) -> None:
    id = (await api.submit("debug.sleep", {"seconds": 1})).json["id"]
    path = f"/v1/jobs/{id}/cancel"
    problem(await api.request("POST", path, json={"force": True}), 400, "invalid-request")
    problem(await api.request("POST", f"{path}?force=1"), 400, "invalid-request")
    assert (await api.over(id))["status"] == "succeeded"
    problem(await api.request("GET", path), 405, "method-not-allowed")


async def test_the_next_equal_request_after_a_cancel_runs(api: ApiClient, runs: Runs) -> None:
    """A shared job is canceled for all who hold it; it is nobody's flight any more."""
    id = (await api.submit("counted.cached", runs.input(seconds=30))).json["id"]
    await until_running(api, id)
    assert (await api.submit("counted.cached", runs.input(seconds=30))).json["id"] == id
    await cancel(api, id)
    assert (await api.over(id))["status"] == "canceled"
    other = await api.submit("counted.cached", runs.input(seconds=30))
    assert other.json["id"] != id
    await cancel(api, other.json["id"])
