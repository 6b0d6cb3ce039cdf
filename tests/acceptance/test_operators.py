"""What operators do, over HTTP: keys made, rotated, revoked; queues seen, paused, and let go on; the pages."""

import asyncio
from dataclasses import replace

import aiohttp
import pytest

from deploy.local.system import System
from tests.acceptance.client import ApiClient, Json
from tests.acceptance.figures import FIGURES, known, lane
from tests.acceptance.figures import found as until

TINY = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
THUMBNAIL = {"image": TINY, "width": 8, "height": 8}
"""The only work on the queue `images`, which these tests may pause."""


async def test_a_key_does_what_its_scopes_say_until_it_is_revoked(api: ApiClient) -> None:
    made = await api.request("POST", "/v1/keys", json={"name": "reader", "scopes": ["jobs:read"]})
    assert made.status == 201
    assert made.headers["Location"] == f"/v1/keys/{made.json['id']}"
    assert made.headers["Cache-Control"] == "no-store"
    reader = replace(api, token=made.json["secret"])
    job = await api.result("debug.echo", 1)
    assert (await reader.get(job["id"])).json == job
    assert (await reader.submit("debug.echo", 1)).status == 403
    rotated = await api.request("POST", f"/v1/keys/{made.json['id']}/rotate")
    renewed = replace(api, token=rotated.json["secret"])
    assert {(await client.get(job["id"])).status for client in (reader, renewed)} == {200}
    assert (await api.request("DELETE", f"/v1/keys/{made.json['id']}")).status == 204
    assert {(await client.get(job["id"])).status for client in (reader, renewed)} == {401}
    listed = await api.request("GET", "/v1/keys?limit=100")
    [key] = [each for each in listed.json["data"] if each["id"] == made.json["id"]]
    assert key["revoked_at"] is not None
    assert made.json["secret"] not in listed.body.decode()


async def test_a_key_has_a_rate_of_its_own(api: ApiClient) -> None:
    body = {"scopes": ["jobs:read"], "requests_per_second": 1, "burst": 2}
    made = await api.request("POST", "/v1/keys", json=body)
    slow = replace(api, token=made.json["secret"])
    statuses = [(await slow.request("GET", "/v1/handlers")).status for _ in range(5)]
    assert 429 in statuses
    assert statuses[0] == 200


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("figures")
async def test_a_paused_queue_keeps_its_jobs_until_it_goes_on(api: ApiClient) -> None:
    paused = await api.request("POST", "/v1/queues/images/pause")
    assert (paused.status, paused.json["paused"]) == (200, True)
    try:
        waiting = await until(lambda: _left_waiting(api))
        found = await until(lambda: _backlog(api, "images"))
        assert found["paused"] is True
        assert (await api.get(waiting, wait=3)).json["status"] == "queued"
    finally:
        assert (await api.request("POST", "/v1/queues/images/resume")).json["paused"] is False
    assert (await api.over(waiting))["status"] == "succeeded"


async def _left_waiting(api: ApiClient) -> str | None:
    """A job that the workers leave alone, once all have heard of the pause."""
    ids = [(await api.submit("image.thumbnail", THUMBNAIL, cache="off")).json["id"] for _ in range(4)]
    states = await asyncio.gather(*(api.get(id, wait=2) for id in ids))
    return ids[0] if all(answer.json["status"] == "queued" for answer in states) else None


async def _backlog(api: ApiClient, queue: str) -> Json | None:
    found = await lane(api, queue)
    return found if found["backlog"] else None


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("figures")
async def test_what_runs_is_seen_in_flight_and_then_gone(api: ApiClient) -> None:
    ids = [(await api.submit("debug.sleep", {"seconds": 6})).json["id"] for _ in range(6)]

    async def in_flight() -> Json | None:
        found = await lane(api, "default")
        seen = (found["in_flight"] or 0) >= len(ids) and found["rate_in_per_second"] > 0
        return found if seen else None

    found = await until(in_flight)
    assert found["workers"] == 2
    assert 0 < found["oldest_age_seconds"] < 60
    await asyncio.gather(*(api.over(id) for id in ids))

    async def settled() -> Json | None:
        found = await lane(api, "default")
        return found if (found["in_flight"], found["backlog"], found["oldest_age_seconds"]) == (0, 0, 0) else None

    assert (await until(settled))["rate_out_per_second"] > 0


@pytest.mark.timeout(180)
async def test_figures_are_null_after_redis_was_lost_until_they_are_known_again(api: ApiClient, system: System) -> None:
    await system.processes["redis"].kill()
    lost = await lane(api, "default")
    await system.processes["redis"].start()
    assert {lost[figure] for figure in FIGURES} == {None}
    assert (await known(api, "default"))["backlog"] == 0


async def test_every_handler_is_there_with_its_schemas(api: ApiClient) -> None:
    listed = (await api.request("GET", "/v1/handlers")).json["data"]
    names = [each["name"] for each in listed]
    assert names == sorted(names)
    assert {"csv.profile", "debug.echo", "image.thumbnail", "text.stats"} <= set(names)
    for each in listed:
        assert (await api.request("GET", f"/v1/handlers/{each['name']}")).json == each
    [stats] = [each for each in listed if each["name"] == "text.stats"]
    assert "text" in stats["input_schema"]["properties"]


async def test_the_pages_are_there_for_anyone(system: System, session: aiohttp.ClientSession) -> None:
    paths = ("/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/docs.js", "/problems/invalid-input")
    for path in paths:
        async with session.get(system.base_url + path) as response:
            assert response.status == 200, path
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            body = await response.read()
        async with session.get(system.base_url + path, headers={"If-None-Match": response.headers["ETag"]}) as again:
            assert again.status == 304, path
        assert len(body) > 200
