"""Following jobs as Server-Sent Events: everything in order, once, whoever leaves or is lost meanwhile."""

import asyncio

import aiohttp
import pytest

from deploy.local.system import System
from tests.acceptance.client import ApiClient
from tests.acceptance.lives import cancel, nobody_works, polled, queued, until, until_running, without_redis
from tests.acceptance.redis_faults import flush
from tests.acceptance.streaming import Event, following
from tests.acceptance.test_jobs import problem


def chunks(events: list[Event]) -> list[int]:
    return [event.json["chunk"]["n"] for event in events if event.name == "output"]


def names(events: list[Event]) -> set[str]:
    return {event.name for event in events}


async def talking(api: ApiClient, **input: float) -> str:
    return str((await api.submit("unruly.talk", input)).json["id"])


async def held(api: ApiClient, system: System) -> float:
    port = system.admin_ports["gateway-1"]
    async with api.session.get(f"http://127.0.0.1:{port}/metrics") as response:
        text = await response.text()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("sluice_http_requests_held "))


async def test_a_job_is_followed_from_its_beginning_to_its_end(api: ApiClient, system: System) -> None:
    async with nobody_works(system):
        id = await queued(api, "unruly.talk", {"chunks": 10, "every": 0.2})
        async with following(api, id) as stream:
            [first] = await stream.until("status")
            assert first.json == (await api.get(id)).json
            assert first.json["status"] == "queued"
            hearing = asyncio.create_task(stream.rest())
            await asyncio.sleep(0)
            for name in ("worker-1", "worker-2"):
                await system.processes[name].thaw()
            heard = await hearing
    assert chunks(heard) == list(range(1, 11))
    assert [event.json["status"] for event in heard if event.name == "status"] == ["running"]
    done = [event.json["done"] for event in heard if event.name == "progress"]
    assert done == sorted(set(done))
    assert done[-1] == 10
    assert len(done) <= 2 * 10 * 0.2 + 3, "twice a second"
    last = heard[-1]
    assert (last.name, last.json) == ("done", (await api.get(id)).json)
    assert last.json["output"] == 10
    assert len({event.id for event in heard}) == len(heard)


async def test_progress_tells_how_far_it_is(api: ApiClient) -> None:
    id = await talking(api, chunks=3, every=0.1, linger=1)
    async with following(api, id) as stream:
        heard = await stream.rest()
    [*_, last] = [event for event in heard if event.name == "progress"]
    assert last.json == {"attempt": 1, "done": 3, "total": 3, "message": "chunk 3"}


async def test_the_job_shows_the_newest_progress_while_it_runs(api: ApiClient) -> None:
    id = await talking(api, chunks=4, linger=3)
    shown = await polled(lambda: api.get(id), lambda answer: (answer.json["progress"] or {}).get("done") == 4)
    assert shown.json["progress"] == {"done": 4, "total": 4, "message": "chunk 4"}
    assert shown.headers["ETag"].startswith('W/"')
    same = await api.get(id, etag=shown.headers["ETag"])
    assert same.status == 304
    over = await api.over(id)
    assert over["progress"] is None
    assert not (await api.get(id)).headers["ETag"].startswith("W/")


async def test_a_job_that_is_over_is_told_whole(api: ApiClient) -> None:
    id = await talking(api, chunks=5)
    over = await api.over(id)
    async with following(api, id) as stream:
        heard = await stream.rest()
    assert chunks(heard) == [1, 2, 3, 4, 5]
    assert heard[-1].json == over
    assert "status" not in names(heard)


async def test_a_client_goes_on_where_it_was(api: ApiClient) -> None:
    id = await talking(api, chunks=30, every=0.1)
    heard: list[Event] = []
    last: str | None = None
    for _ in range(30):
        async with following(api, id, last) as stream:
            async with asyncio.timeout(30):
                async for event in stream:
                    heard.append(event)
                    last = event.id
                    if len(heard) % 7 == 0:
                        break
        if heard[-1].name == "done":
            break
    assert chunks(heard) == list(range(1, 31))
    assert "reset" not in names(heard)
    states = [event.json["status"] for event in heard if event.name in {"status", "done"}]
    assert states == sorted(set(states), key=["queued", "running", "succeeded"].index)


async def test_whoever_comes_back_after_the_end_is_told_to_stay_away(api: ApiClient) -> None:
    id = await talking(api, chunks=1)
    await api.over(id)
    async with following(api, id) as stream:
        heard = await stream.rest()
    path = f"/v1/jobs/{id}/events"
    assert (await api.request("GET", path, headers={"Last-Event-ID": heard[-1].id})).status == 204
    async with following(api, id, heard[-2].id) as stream:
        assert [event.name for event in await stream.rest()] == ["done"]


@pytest.mark.parametrize("last", ["", "nonsense", "0.0-0", "zz.1-1", "1.2.3", "9" * 400])
async def test_an_id_that_is_none_of_ours_starts_anew(api: ApiClient, last: str) -> None:
    id = await talking(api, chunks=2)
    await api.over(id)
    async with following(api, id, last) as stream:
        assert chunks(await stream.rest()) == [1, 2]


async def test_a_gap_is_announced_with_the_job(api: ApiClient) -> None:
    """More than is kept: whoever comes late misses the oldest."""
    id = await talking(api, chunks=1_500, linger=4)
    await polled(lambda: api.get(id), lambda answer: (answer.json["progress"] or {}).get("done") == 1_500)
    async with following(api, id) as stream:
        heard = await stream.rest()
    assert [event.name for event in heard[:2]] == ["status", "reset"]
    assert heard[1].json["id"] == id
    assert heard[1].json["progress"]["done"] == 1_500
    kept = chunks(heard)
    assert kept == list(range(kept[0], 1_501))
    assert 1 < kept[0] <= 1_500 - 900
    assert [event.name for event in heard].count("reset") == 1


async def test_chunks_of_each_attempt_are_told_apart(api: ApiClient) -> None:
    id = (await api.submit("unruly.stumble", 1)).json["id"]
    async with following(api, id) as stream:
        heard = await stream.rest()
    assert [event.json for event in heard if event.name == "output"] == [
        {"attempt": attempt, "chunk": attempt} for attempt in (1, 2, 3)
    ]
    assert heard[-1].json["attempt"] == 3


async def test_a_cancel_is_heard_of(api: ApiClient) -> None:
    id = (await api.submit("unruly.deaf", {"seconds": 30})).json["id"]
    await until_running(api, id)
    async with following(api, id) as stream:
        await stream.until("status")
        await cancel(api, id)
        heard = await stream.rest()
    assert [event.name for event in heard] == ["status", "done"]
    assert heard[0].json["cancel_requested_at"] is not None
    assert heard[1].json["status"] == "canceled"


async def test_many_follow_one_job(api: ApiClient) -> None:
    id = await talking(api, chunks=20, every=0.1)

    async def follow() -> list[int]:
        async with following(api, id) as stream:
            return chunks(await stream.rest())

    assert await asyncio.gather(*(follow() for _ in range(40))) == [list(range(1, 21))] * 40


async def test_followers_count_as_held_and_leave_nothing(api: ApiClient, system: System) -> None:
    """R27."""
    before = await held(api, system)
    id = (await api.submit("debug.sleep", {"seconds": 60})).json["id"]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        leaving = ApiClient(session, api.base_url, api.token)
        responses = [
            await session.get(
                f"{leaving.base_url}/v1/jobs/{id}/events", headers={"Authorization": f"Bearer {leaving.token}"}
            )
            for _ in range(20)
        ]
        assert {response.status for response in responses} == {200}
        assert await held(api, system) == before + 20
        for response in responses:
            response.close()
    async with asyncio.timeout(10):
        while await held(api, system) != before:
            await asyncio.sleep(0.05)
    await cancel(api, id)


async def test_a_comment_comes_when_nothing_happens(api: ApiClient) -> None:
    id = (await api.submit("debug.sleep", {"seconds": 16})).json["id"]
    async with following(api, id) as stream:
        await stream.rest()
        assert stream.comments >= 1


async def test_without_redis_states_come_and_reports_recover(api: ApiClient, system: System) -> None:
    id = await talking(api, chunks=20, every=0.5)
    async with following(api, id) as stream:
        heard = await stream.until("output")
        async with without_redis(api, system):
            await asyncio.sleep(2)  # chunks come and are lost
        heard += await stream.until("reset")
        heard += await stream.rest()
    found = chunks(heard)
    assert found == sorted(set(found))
    assert found[-1] == 20
    assert heard[-1].name == "done"


async def test_redis_flushed_is_a_gap_and_no_end(api: ApiClient, system: System) -> None:
    id = await talking(api, chunks=30, every=0.2)
    async with following(api, id) as stream:
        heard = await stream.until("output")
        await flush(system)
        heard += await stream.rest()
    found = chunks(heard)
    assert found == sorted(set(found))
    assert found[-1] == 30
    assert heard[-1].name == "done"


async def test_a_draining_gateway_ends_streams_with_a_hint(fleet: System, crowd: ApiClient) -> None:
    """R26: to come back at different moments, where another gateway goes on."""
    id = (await crowd.submit("counted.plain", {"file": "/dev/null", "seconds": 12})).json["id"]
    await until(crowd, id, lambda job: job["status"] == "running")
    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(_followed(crowd, id)) for _ in range(24)]
        await asyncio.sleep(1)  # all are connected
        await fleet.processes["gateway-1"].stop()
        await fleet.processes["gateway-1"].start()
    ended = [follower.result() for follower in followers]
    hinted = [retry for retry, events in ended if retry is not None]
    assert hinted, "one in four was there"
    assert all(1_000 <= retry <= 3_000 for retry in hinted)
    assert all(events[-1].name == ("status" if retry else "done") for retry, events in ended)


async def _followed(api: ApiClient, id: str) -> tuple[int | None, list[Event]]:
    async with following(api, id) as stream:
        events = await stream.rest()
        return stream.retry, events


async def test_a_foreign_invented_or_deleted_job_is_refused(api: ApiClient, foreign: ApiClient) -> None:
    id = (await api.result("debug.echo", 1))["id"]
    problem(await foreign.request("GET", f"/v1/jobs/{id}/events"), 404, "not-found")
    forged = id[:-1] + ("0" if id[-1] != "0" else "1")
    problem(await api.request("GET", f"/v1/jobs/{forged}/events"), 404, "not-found")
    problem(await api.request("GET", f"/v1/jobs/{id}/events?from=0"), 400, "invalid-request")
    await api.request("DELETE", f"/v1/jobs/{id}")
    problem(await api.request("GET", f"/v1/jobs/{id}/events"), 410, "gone")
