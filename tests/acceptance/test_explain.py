"""Explaining jobs: the reason for each state that a job can be in, and the facts behind it."""

import asyncio
from datetime import datetime, timedelta

from deploy.local.system import System
from tests.acceptance.client import ApiClient, Json
from tests.acceptance.lives import cancel, frozen, nobody_works, polled, queued, until, until_running
from tests.acceptance.redis_faults import flush
from tests.acceptance.test_jobs import problem

MEMBERS = [
    "id",
    "handler",
    "status",
    "reason",
    "detail",
    "since",
    "until",
    "attempt",
    "max_attempts",
    "deadline",
    "attempt_deadline",
    "worker",
    "lease",
    "lost_leases",
    "cancel_requested_at",
    "error",
    "backlog",
    "run_seconds_p50",
    "run_seconds_p95",
]


async def explained(api: ApiClient, id: str) -> Json:
    answer = await api.request("GET", f"/v1/jobs/{id}/explain")
    assert answer.status == 200, answer.body
    assert list(answer.json) == MEMBERS
    assert answer.json["id"] == id
    assert answer.json["detail"]
    body: Json = answer.json
    return body


async def test_a_queued_job_waits_for_a_worker(api: ApiClient, system: System) -> None:
    async with nobody_works(system):
        id = await queued(api)
        known = await explained(api, id)
        await flush(system)
        bare = await explained(api, id)
    assert (known["status"], known["reason"], known["handler"]) == ("queued", "waiting_for_worker", "debug.echo")
    assert (bare["reason"], bare["handler"]) == ("waiting_for_worker", None)
    assert known["since"] == bare["since"] is not None
    await api.over(id)


async def test_a_delayed_job_waits_for_its_time(api: ApiClient) -> None:
    job = (await api.submit("debug.echo", 1, delay_seconds=60, max_attempts=3)).json
    why = await explained(api, job["id"])
    assert (why["status"], why["reason"]) == ("scheduled", "delayed")
    assert why["until"] == job["scheduled_for"]
    assert (why["attempt"], why["max_attempts"]) == (0, 3)
    assert datetime.fromisoformat(why["deadline"]) > datetime.fromisoformat(why["until"])
    await cancel(api, job["id"])
    assert (await explained(api, job["id"]))["reason"] == "canceled_before_start"


async def test_a_job_whose_time_has_come_waits_for_a_worker(api: ApiClient, system: System) -> None:
    async with nobody_works(system):
        id = (await api.submit("debug.echo", 1, delay_seconds=0.3)).json["id"]
        await polled(
            lambda: api.request("GET", f"/v1/jobs/{id}/explain"), lambda answer: answer.json["reason"] == "due"
        )
    await api.over(id)


async def test_a_retry_waits_because_an_attempt_failed(api: ApiClient) -> None:
    id = (await api.submit("unruly.later", {"after": 60}, max_attempts=4)).json["id"]
    job = await until(api, id, lambda job: job["status"] == "scheduled")
    why = await explained(api, id)
    assert (why["status"], why["reason"]) == ("scheduled", "backoff")
    assert (why["attempt"], why["max_attempts"]) == (1, 4)
    assert why["error"]["code"] == "handler_error"
    assert why["until"] == job["scheduled_for"]
    assert "1 of 4" in why["detail"]
    assert "handler_error" in why["detail"]
    await cancel(api, id)
    assert (await explained(api, id))["reason"] == "canceled_while_running"


async def test_a_running_job_tells_on_which_worker_and_how_fresh_its_lease_is(api: ApiClient) -> None:
    id = (await api.submit("unruly.deaf", {"seconds": 4}, timeout_seconds=30)).json["id"]
    job = await until_running(api, id)
    why = await explained(api, id)
    assert (why["status"], why["reason"], why["since"]) == ("running", "running", job["started_at"])
    assert why["worker"].startswith("worker-")
    assert why["lease"]["seconds"] == 4
    assert 0 <= why["lease"]["age_seconds"] < 4
    limit = datetime.fromisoformat(why["attempt_deadline"]) - datetime.fromisoformat(why["since"])
    assert limit == timedelta(seconds=30)
    await cancel(api, id)
    asked = await explained(api, id)
    assert asked["reason"] == "cancel_requested"
    assert asked["cancel_requested_at"] is not None
    await api.over(id)
    over = await explained(api, id)
    assert (over["reason"], over["worker"], over["lease"]) == ("canceled_while_running", None, None)


async def test_the_job_of_a_lost_worker_tells_so(api: ApiClient, system: System) -> None:
    id = (await api.submit("debug.sleep", {"seconds": 20})).json["id"]
    await until_running(api, id)
    async with nobody_works(system):
        lapsed = await polled(
            lambda: api.request("GET", f"/v1/jobs/{id}/explain"),
            lambda answer: answer.json["reason"] == "lease_lapsed",
        )
        assert lapsed.json["lease"]["age_seconds"] >= 4
    await cancel(api, id)
    await api.over(id)


async def test_what_is_over_tells_how_it_ended(api: ApiClient, system: System) -> None:
    done = await api.result("debug.echo", 1)
    failed = await api.result("debug.fail", {"message": "no"}, max_attempts=1)
    refused = await api.result("text.stats", {"text": "x"}, max_attempts=1)
    async with nobody_works(system):
        late = await queued(api, expires_in_seconds=1)
        await asyncio.sleep(1.2)  # its lifetime
    await until(api, late, lambda job: job["status"] == "expired")
    reasons = [(await explained(api, id))["reason"] for id in (done["id"], failed["id"], refused["id"], late)]
    assert reasons == ["succeeded", "attempts_exhausted", "succeeded", "expired_before_start"]
    assert (await explained(api, failed["id"]))["error"]["code"] == "attempts_exhausted"


async def test_the_store_frozen_is_503(api: ApiClient, system: System) -> None:
    id = (await api.result("debug.echo", 1))["id"]
    async with frozen(system, "firestore"):
        problem(await api.request("GET", f"/v1/jobs/{id}/explain"), 503, "unavailable")
    await polled(lambda: api.request("GET", f"/v1/jobs/{id}/explain"), lambda answer: answer.status == 200)


async def test_a_foreign_or_invented_job_is_404(api: ApiClient, foreign: ApiClient) -> None:
    id = (await api.result("debug.echo", 1))["id"]
    problem(await foreign.request("GET", f"/v1/jobs/{id}/explain"), 404, "not-found")
    forged = id[:-1] + ("0" if id[-1] != "0" else "1")
    problem(await api.request("GET", f"/v1/jobs/{forged}/explain"), 404, "not-found")
    problem(await api.request("GET", f"/v1/jobs/{id}/explain?why=1"), 400, "invalid-request")
