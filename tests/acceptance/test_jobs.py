"""Posting and reading jobs: every answer of the outcome table that exists, to the header."""

import asyncio
import re
import secrets
from datetime import datetime, timedelta

import pytest

from deploy.local.system import System
from tests.acceptance.client import Answer, ApiClient

ID = re.compile(r"job_[0-9a-hjkmnp-tv-z]{40}")
FIELDS = [
    "id",
    "handler",
    "status",
    "created_at",
    "scheduled_for",
    "started_at",
    "finished_at",
    "cancel_requested_at",
    "attempt",
    "max_attempts",
    "progress",
    "output",
    "error",
    "labels",
    "batch",
    "replay_of",
    "urls",
]


def problem(answer: Answer, status: int, slug: str) -> dict[str, object]:
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    body: dict[str, object] = answer.json
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["instance"] == answer.headers["X-Request-Id"]
    return body


async def test_an_accepted_job_is_202_with_everything_a_client_needs(api: ApiClient) -> None:
    answer = await api.submit("debug.sleep", {"seconds": 0.5}, labels={"team": "a"}, max_attempts=2)
    assert answer.status == 202
    job = answer.json
    assert list(job) == FIELDS
    assert ID.fullmatch(job["id"])
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}" == job["urls"]["self"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert (job["status"], job["labels"], job["max_attempts"]) == ("queued", {"team": "a"}, 2)
    assert abs(datetime.fromisoformat(job["created_at"]).timestamp() - datetime.now().timestamp()) < 60  # noqa: DTZ005
    assert (await api.over(job["id"]))["status"] == "succeeded"


async def test_waiting_on_the_post_answers_200_with_the_result(api: ApiClient) -> None:
    answer = await api.submit("debug.echo", {"n": 1}, wait=30)
    assert answer.status == 200
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert "Retry-After" not in answer.headers
    assert answer.json["output"] == {"n": 1}


async def test_an_execution_error_is_not_a_request_error(api: ApiClient) -> None:
    answer = await api.submit("debug.fail", {}, wait=30, max_attempts=1)
    assert (answer.status, answer.json["status"]) == (200, "failed")


async def test_a_wait_that_is_over_answers_202_with_the_state(api: ApiClient) -> None:
    answer = await api.submit("debug.sleep", {"seconds": 5}, wait=1)
    assert answer.status == 202
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert answer.json["status"] in {"queued", "running"}


async def test_reading_answers_with_an_entity_tag_and_304(api: ApiClient) -> None:
    job = await api.result("debug.echo", 1)
    first = await api.get(job["id"])
    again = await api.get(job["id"], etag=first.headers["ETag"])
    assert (first.status, first.json) == (200, job)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert (await api.get(job["id"], etag='"1"')).status == 200


async def test_a_conditional_wait_answers_on_any_change(api: ApiClient) -> None:
    job = (await api.submit("debug.sleep", {"seconds": 2})).json
    seen: list[str] = []
    etag = '"0"'
    while not seen or seen[-1] not in {"succeeded", "failed"}:
        answer = await api.get(job["id"], wait=20, etag=etag)
        assert answer.status == 200
        etag = answer.headers["ETag"]
        seen.append(answer.json["status"])
    assert seen[-2:] == ["running", "succeeded"]


async def test_a_conditional_wait_without_a_change_is_304(api: ApiClient) -> None:
    job = (await api.submit("debug.sleep", {"seconds": 8})).json
    running = await api.get(job["id"], wait=5, etag='"100"')
    while running.json["status"] == "queued":
        running = await api.get(job["id"], wait=5, etag=running.headers["ETag"])
    unchanged = await api.get(job["id"], wait=1, etag=running.headers["ETag"])
    assert unchanged.status == 304
    assert unchanged.headers["Preference-Applied"] == "wait=1"


async def test_many_wait_for_one_job(api: ApiClient) -> None:
    job = (await api.submit("debug.sleep", {"seconds": 1})).json
    answers = await asyncio.gather(*(api.get(job["id"], wait=20) for _ in range(50)))
    assert {answer.json["status"] for answer in answers} == {"succeeded"}
    assert len({answer.body for answer in answers}) == 1


async def test_the_input_is_added_on_request(api: ApiClient) -> None:
    job = await api.result("debug.echo", {"secret": 1})
    assert "input" not in job
    answer = await api.request("GET", f"/v1/jobs/{job['id']}?expand=input")
    assert answer.json == job | {"input": {"secret": 1}}
    problem(await api.request("GET", f"/v1/jobs/{job['id']}?expand=everything"), 400, "invalid-request")


async def test_a_delayed_job_runs_when_it_is_due(api: ApiClient) -> None:
    answer = await api.submit("debug.echo", 1, delay_seconds=2)
    job = answer.json
    assert (answer.status, job["status"]) == (202, "scheduled")
    assert (await api.get(job["id"])).json["status"] == "scheduled"
    over = await api.over(job["id"])
    due = datetime.fromisoformat(job["scheduled_for"])
    started = datetime.fromisoformat(over["started_at"])
    assert timedelta(0) <= started - due < timedelta(seconds=5)


async def test_an_unknown_handler_is_404_with_near_names(api: ApiClient) -> None:
    body = problem(await api.submit("text.stat", {}), 404, "unknown-handler")
    assert "text.stats" in body["near"]  # type: ignore[operator]


async def test_an_input_that_does_not_fit_is_422_with_places(api: ApiClient) -> None:
    body = problem(await api.submit("debug.sleep", {"seconds": "long"}), 422, "invalid-input")
    assert [error["pointer"] for error in body["errors"]] == ["/seconds"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"", 400, "invalid-request"),
        (b"{", 400, "invalid-request"),
        (b"[]", 400, "invalid-request"),
        (b'{"handler":"debug.echo"}', 400, "invalid-request"),
        (b'{"handler":"debug.echo","input":1,"extra":1}', 400, "invalid-request"),
        (b'{"handler":"debug.echo","input":NaN}', 400, "invalid-request"),
        (b'{"handler":"debug.echo","input":1,"input":2}', 400, "invalid-request"),
        (b'{"handler":"debug.echo","input":' + b"[" * 70 + b"]" * 70 + b"}", 400, "invalid-request"),
        (b'{"handler":"debug.echo","input":1,"max_attempts":0}', 422, "out-of-range"),
        (b'{"handler":"debug.echo","input":"' + b"x" * 300_000 + b'"}', 413, "too-large"),
    ],
)
async def test_bad_bodies_get_their_refusals(api: ApiClient, body: bytes, status: int, slug: str) -> None:
    headers = {"Content-Type": "application/json"}
    problem(await api.request("POST", "/v1/jobs", data=body, headers=headers), status, slug)


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {"Content-Type": "application/json", "Content-Encoding": "gzip"}],
)
async def test_other_kinds_of_body_are_415(api: ApiClient, headers: dict[str, str]) -> None:
    problem(await api.request("POST", "/v1/jobs", data=b"{}", headers=headers), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer nonsense", "Basic YTpi", f"Bearer sk_nobody_{'0' * 32}", f"Bearer sk_acme_{'0' * 32}"],
)
async def test_a_missing_or_bad_key_is_401(api: ApiClient, authorization: str) -> None:
    answer = await api.request("GET", f"/v1/jobs/job_{'0' * 40}", headers={"Authorization": authorization})
    problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_foreign_job_is_404_to_the_byte_like_an_invented_one(api: ApiClient, foreign: ApiClient) -> None:
    job = await api.result("debug.echo", 1)
    theirs = await foreign.get(job["id"])
    invented = await foreign.get("job_" + "".join(secrets.choice("0123456789abcdef") for _ in range(40)))
    problem(theirs, 404, "not-found")
    for answer in (theirs, invented):
        assert answer.body.replace(answer.headers["X-Request-Id"].encode(), b"") == theirs.body.replace(
            theirs.headers["X-Request-Id"].encode(), b""
        )
    problem(await foreign.get(job["id"], wait=5), 404, "not-found")


async def test_each_changed_character_of_an_id_is_404(api: ApiClient) -> None:
    id = (await api.result("debug.echo", 1))["id"]
    changed = [id[:place] + ("0" if id[place] != "0" else "1") + id[place + 1 :] for place in range(4, 44)]
    answers = await asyncio.gather(*(api.get(each) for each in changed))
    assert {answer.status for answer in answers} == {404}


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/job", "/v1/jobs/x/y", "/admin", "/metrics"])
async def test_what_is_not_there_is_404(api: ApiClient, path: str) -> None:
    problem(await api.request("GET", path), 404, "not-found")


async def test_other_methods_are_405(api: ApiClient) -> None:
    answer = await api.request("PUT", "/v1/jobs")
    problem(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["Allow"]


async def test_the_gateway_says_that_it_lives_and_is_ready(api: ApiClient, system: System) -> None:
    assert (await api.request("GET", "/livez")).status == 200
    ready = await api.request("GET", "/readyz")
    assert (ready.status, ready.json["ready"]) == (200, True)
