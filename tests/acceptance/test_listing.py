"""Listing jobs: newest first, filtered, in pages; what no worker has claimed yet among them."""

import asyncio
import re
import secrets
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from deploy.local.system import System
from tests.acceptance.client import Answer, ApiClient
from tests.acceptance.lives import cancel, frozen, nobody_works, polled, queued, until, without_redis
from tests.acceptance.redis_faults import flush
from tests.acceptance.test_jobs import FIELDS, problem


@pytest.fixture
def team() -> str:
    """A label that no other test uses."""
    return secrets.token_hex(6)


async def listed(api: ApiClient, **query: Any) -> Answer:
    return await api.request("GET", f"/v1/jobs?{urlencode({k.replace('__', '.'): v for k, v in query.items()})}")


async def ids(api: ApiClient, **query: Any) -> list[str]:
    answer = await listed(api, **query)
    assert answer.status == 200, answer.body
    return [job["id"] for job in answer.json["data"]]


async def pages(api: ApiClient, **query: Any) -> list[list[dict[str, Any]]]:
    found = []
    answer = await listed(api, **query)
    for _ in range(50):
        assert answer.status == 200, answer.body
        found.append(answer.json["data"])
        if answer.json["next"] is None:
            assert "Link" not in answer.headers
            return found
        link = re.fullmatch(r'<(/v1/jobs\?[^>]+)>; rel="next"', answer.headers["Link"])
        assert link
        assert quote(answer.json["next"], safe="") in link[1]
        answer = await api.request("GET", link[1])
    raise AssertionError("the pages do not end")


async def over(api: ApiClient, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Finished jobs, the newest first."""
    jobs = await asyncio.gather(*(api.result("debug.echo", number, **fields) for number in range(count)))
    return sorted(jobs, key=lambda job: (job["created_at"], job["id"]), reverse=True)


async def test_jobs_are_listed_newest_first_without_their_output(api: ApiClient, team: str) -> None:
    jobs = await over(api, 5, labels={"team": team})
    answer = await listed(api, label__team=team)
    assert answer.json["next"] is None
    assert answer.json["data"] == [{name: job[name] for name in FIELDS if name != "output"} for job in jobs]


async def test_pages_have_each_job_once(api: ApiClient, team: str) -> None:
    jobs = await over(api, 23, labels={"team": team})
    found = await pages(api, label__team=team, limit=5)
    assert [job["id"] for page in found for job in page] == [job["id"] for job in jobs]
    assert all(len(page) <= 5 for page in found)


async def test_what_comes_while_paging_disturbs_nothing(api: ApiClient, team: str) -> None:
    jobs = await over(api, 6, labels={"team": team})
    first = await listed(api, label__team=team, limit=3)
    await over(api, 3, labels={"team": team})
    second = await listed(api, label__team=team, limit=3, cursor=first.json["next"])
    found = [job["id"] for job in (*first.json["data"], *second.json["data"])]
    assert found == [job["id"] for job in jobs]


async def test_filters_join(api: ApiClient, team: str) -> None:
    good = await api.result("debug.echo", 1, labels={"team": team, "x": "1"})
    bad = await api.result("debug.fail", {"message": "no"}, max_attempts=1, labels={"team": team})
    delayed = (await api.submit("debug.echo", 1, delay_seconds=60, labels={"team": team})).json
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, [delayed["id"], bad["id"], good["id"]]),
        ({"status": "failed"}, [bad["id"]]),
        ({"status": "scheduled"}, [delayed["id"]]),
        ({"status": "running"}, []),
        ({"handler": "debug.echo"}, [delayed["id"], good["id"]]),
        ({"handler": "debug.echo", "status": "succeeded"}, [good["id"]]),
        ({"handler": "nobody"}, []),
        ({"created_after": good["created_at"]}, [delayed["id"], bad["id"]]),
        ({"created_before": bad["created_at"]}, [good["id"]]),
        ({"created_after": good["created_at"], "created_before": delayed["created_at"]}, [bad["id"]]),
    ]
    for query, expected in cases:
        assert await ids(api, label__team=team, **query) == expected, query
    assert await ids(api, label__x="1", handler="debug.echo", status="succeeded", limit=1) == [good["id"]]
    await cancel(api, delayed["id"])
    assert await ids(api, label__team=team, status="canceled") == [delayed["id"]]


async def test_what_no_worker_has_claimed_is_on_the_first_page(api: ApiClient, system: System, team: str) -> None:
    [old] = await over(api, 1, labels={"team": team})
    async with nobody_works(system):
        waiting = [await queued(api, labels={"team": team}) for _ in range(5)]
        expected = [*waiting[::-1], old["id"]]
        assert await ids(api, label__team=team) == expected
        assert await ids(api, label__team=team, status="queued") == expected[:-1]
        assert await ids(api, label__team=team, status="succeeded") == [old["id"]]
        assert await ids(api, label__team=team, handler="debug.echo", limit=2) == expected[:2]
        assert await ids(api, label__team=f"{team}-other") == []
        entry = (await listed(api, label__team=team)).json["data"][0]
        assert list(entry) == [name for name in FIELDS if name != "output"]
        assert (entry["status"], entry["handler"], entry["labels"]) == ("queued", "debug.echo", {"team": team})
    await asyncio.gather(*map(api.over, waiting))
    assert await ids(api, label__team=team) == expected
    assert await ids(api, label__team=team, status="queued") == []


async def test_without_redis_what_is_claimed_is_listed(api: ApiClient, system: System, team: str) -> None:
    [old] = await over(api, 1, labels={"team": team})
    async with nobody_works(system):
        id = await queued(api, labels={"team": team})
        assert await ids(api, label__team=team) == [id, old["id"]]
        await flush(system)
        assert await ids(api, label__team=team) == [old["id"]]
    await api.over(id)
    async with without_redis(api, system):
        assert await ids(api, label__team=team) == [id, old["id"]]


async def test_a_tombstone_is_listed_as_far_as_it_is_known(api: ApiClient, system: System, team: str) -> None:
    async with nobody_works(system):
        id = await queued(api, labels={"team": team})
        job = (await cancel(api, id)).json
        found = (await listed(api, status="canceled", created_after=_before(job["created_at"]))).json["data"]
        assert [entry["handler"] for entry in found if entry["id"] == id] == [None]
    await until(api, id, lambda job: job["handler"] is not None)
    assert await ids(api, label__team=team) == [id]


def _before(time: str) -> str:
    return f"{time[:-4]}000Z"


async def test_tenants_see_their_own(api: ApiClient, foreign: ApiClient, team: str) -> None:
    [job] = await over(api, 1, labels={"team": team})
    assert await ids(api, label__team=team) == [job["id"]]
    assert await ids(foreign, label__team=team) == []


async def test_a_cursor_is_good_for_its_tenant_alone(api: ApiClient, foreign: ApiClient) -> None:
    await over(api, 2)
    cursor = (await listed(api, limit=1)).json["next"]
    assert cursor
    problem(await listed(foreign, cursor=cursor), 400, "invalid-request")
    flips = [
        cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in range(len(cursor))
    ]
    answers = await asyncio.gather(*(listed(api, cursor=each) for each in flips))
    assert {answer.status for answer in answers} == {400}
    assert (await listed(api, cursor=cursor, limit=1)).status == 200


@pytest.mark.parametrize(
    ("query", "status", "slug"),
    [
        ("state=failed", 400, "invalid-request"),
        ("status=done", 400, "invalid-request"),
        ("status=failed&status=succeeded", 400, "invalid-request"),
        ("handler=", 400, "invalid-request"),
        ("label.a=1&label.b=2", 400, "invalid-request"),
        ("label.=1", 422, "out-of-range"),
        ("label.a=" + "x" * 257, 422, "out-of-range"),
        ("created_after=yesterday", 400, "invalid-request"),
        ("created_before=2026-01-01", 400, "invalid-request"),
        ("limit=0", 422, "out-of-range"),
        ("limit=101", 422, "out-of-range"),
        ("limit=ten", 400, "invalid-request"),
        ("limit=-1", 400, "invalid-request"),
        ("cursor=", 400, "invalid-request"),
        ("cursor=abc", 400, "invalid-request"),
        ("cursor=%ff", 400, "invalid-request"),
    ],
)
async def test_what_a_list_does_not_take_is_refused(api: ApiClient, query: str, status: int, slug: str) -> None:
    problem(await api.request("GET", f"/v1/jobs?{query}"), status, slug)


async def test_the_store_frozen_is_503(api: ApiClient, system: System) -> None:
    async with frozen(system, "firestore"):
        problem(await listed(api), 503, "unavailable")
    await polled(lambda: listed(api), lambda answer: answer.status == 200)
