"""Dead letters over the API: who sees which, what they died of, and that a replay makes one new job of each."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest

from services.gateway.http.edge import TRAIL
from services.gateway.http.paging import Cursors
from services.gateway.jobs.replay import Replays
from services.gateway.operators.dead_letters import DeadLetterRoutes, Letters
from services.gateway.operators.dead_replay import REQUEST_SECONDS, DeadReplays
from shared.ids import IdKeys, Ids
from shared.models.job import ErrorCode, Job, JobError, JobSpec, Retention
from shared.models.key import ApiKey
from shared.storage.contract import Version
from shared.storage.memory_letters import MemoryDeadLetters
from shared.telemetry.traces import Trail
from tests.unit.services.gateway.asking import answered, request
from tests.unit.services.gateway.backends import SETTINGS, Backends, Gateway

OPERATOR = ApiKey("op", "acme", b"", frozenset({"operator"}))
OTHER = replace(OPERATOR, tenant="globex")
SYSTEM = ApiKey("sys", "root", b"", frozenset({"system"}))
KEYS = IdKeys.parse(SETTINGS.id_keys.reveal())


@dataclass
class Bench:
    backends: Backends
    routes: DeadLetterRoutes
    replays: DeadReplays

    async def dead(
        self, count: int = 1, *, tenant: str = "acme", handler: str = "plain", message: str = "ValueError: no"
    ) -> list[str]:
        """Jobs that were given up on, a millisecond apart, latest first."""
        made = []
        for _ in range(count):
            await self.backends.clock.advance(0.001)
            now = self.backends.clock.now()
            issued = Ids(KEYS).issue("job", tenant, created_at=now, lifetime_ms=86_400_000)
            spec = JobSpec(
                issued.text, tenant, handler, "default", b'{"n":1}', now, now + 86_400_000, 30.0, 5, labels={"a": "b"}
            )
            job = Job.queued(spec).claimed(attempt=5, fence="f", worker="w", lease_seconds=15, at=now)
            over = job.failed(
                JobError(ErrorCode.ATTEMPTS_EXHAUSTED, message, retryable=False),
                cause=JobError(ErrorCode.HANDLER_ERROR, message, retryable=True),
                at=now,
            )
            assert isinstance(await self.backends.jobs.create(over), Version)
            made.append(issued.text)
        return made[::-1]

    async def page(self, key: ApiKey = OPERATOR, /, **query: str) -> tuple[int, Any]:
        return await answered(self.routes.page, key, request(query=query))

    async def groups(self, key: ApiKey = OPERATOR, /, **query: str) -> tuple[int, Any]:
        return await answered(self.routes.groups, key, request(query=query))

    async def replay(self, key: ApiKey = OPERATOR, /, **body: Any) -> tuple[int, Any]:
        asked = request("POST", body=body)
        asked[TRAIL] = Trail(None)
        return await answered(self.replays.post, key, asked)

    async def replay_in_time(self, **body: Any) -> tuple[int, Any]:
        """While the clock moves on by itself."""
        asking = asyncio.create_task(self.replay(**body))
        for _ in range(2_000):
            if asking.done():
                break
            await self.backends.clock.advance(0.01)
        return await asking

    def published(self) -> list[str | None]:
        """What the jobs are replays of that the broker was given."""
        return [spec.replay_of for spec in self.backends.published()]


@pytest.fixture
def b(backends: Backends, one: Gateway) -> Bench:
    cursors, retention, clock = Cursors(KEYS), Retention(), backends.clock
    letters = Letters(MemoryDeadLetters(backends.database), retention, clock)
    replays = Replays(desk=one.desk, idempotency=one.idempotency, ids=Ids(KEYS), retention=retention)
    routes = DeadLetterRoutes(letters, cursors)
    return Bench(
        backends, routes, DeadReplays(letters, replays, one.desk.statuses, backends.jobs, cursors, backends.clock)
    )


async def test_the_list_has_errors_and_attempts_latest_first_page_by_page(b: Bench) -> None:
    ids = await b.dead(5)
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        status, page = await b.page(limit="2", **cursor)
        assert status == 200
        found += page["data"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert [each["job"]["id"] for each in found] == ids
    letter = found[0]
    assert letter["tenant"] == "acme"
    assert letter["job"]["error"]["code"] == "attempts_exhausted"
    assert [each["code"] for each in letter["job"]["error"]["attempts"]] == ["handler_error"]
    assert "output" not in letter["job"]


async def test_each_sees_its_own_tenants_and_system_everyones(b: Bench) -> None:
    [mine], [theirs] = await b.dead(), await b.dead(tenant="globex")

    async def seen(key: ApiKey, **query: str) -> list[str]:
        return [each["job"]["id"] for each in (await b.page(key, **query))[1]["data"]]

    assert await seen(OPERATOR) == [mine]
    assert await seen(OTHER) == [theirs]
    assert await seen(SYSTEM) == [theirs, mine]
    assert await seen(SYSTEM, tenant="acme") == [mine]
    assert (await b.page(OPERATOR, tenant="globex"))[0] == 403
    assert (await b.groups(OPERATOR, tenant="globex"))[0] == 403
    assert (await b.replay(OPERATOR, filter={"tenant": "globex"}))[0] == 403


async def test_a_cursor_is_good_for_the_same_tenant_only(b: Bench) -> None:
    await b.dead(3)
    await b.dead(3, tenant="globex")
    cursor = (await b.page(limit="1"))[1]["next"]
    assert (await b.page(OTHER, cursor=cursor))[0] == 400
    assert (await b.replay(OTHER, filter={}, cursor=cursor))[0] == 400


async def test_past_its_retention_it_is_in_no_list_and_in_no_replay(b: Bench) -> None:
    await b.dead(3)
    await b.backends.clock.advance(7 * 86_400)
    [fresh] = await b.dead()
    assert [each["job"]["id"] for each in (await b.page())[1]["data"]] == [fresh]
    assert [each["id"] for each in (await b.replay_in_time(filter={}))[1]["data"]] == [fresh]


async def test_groups_sum_up_what_died_of_one_cause(b: Bench) -> None:
    rows = await b.dead(3, message="ValueError: no row 7 in 'a'")
    rows = await b.dead(2, message="ValueError: no row 123 in 'b'") + rows
    [other] = await b.dead(message="OSError: disk full")
    status, body = await b.groups()
    assert (status, body["looked_at"], body["complete"]) == (200, 6, True)
    first, second = body["data"]
    assert (first["count"], first["latest"], first["message"]) == (5, rows[0], "ValueError: no row 123 in 'b'")
    assert first["first_failed_at"] < first["last_failed_at"]
    assert (second["count"], second["latest"], second["handler"]) == (1, other, "plain")
    listed = (await b.page(fingerprint=first["fingerprint"]))[1]["data"]
    assert [each["job"]["id"] for each in listed] == rows
    assert (await b.groups(fingerprint=second["fingerprint"]))[1]["data"] == [second]


async def test_groups_say_when_there_is_more(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.operators.dead_letters.MAX_SUMMED_UP", 4)
    monkeypatch.setattr("services.gateway.operators.dead_letters.PAGE", 2)
    await b.dead(4)
    assert (await b.groups())[1]["complete"] is True
    await b.dead(1)
    _, body = await b.groups()
    assert (body["looked_at"], body["complete"]) == (4, False)


async def test_replaying_makes_one_new_job_of_each_and_leaves_the_dead_as_they_are(b: Bench) -> None:
    ids = await b.dead(7)
    before = [await b.backends.jobs.read(id) for id in ids]
    held = [stored and (stored.value, stored.version) for stored in before]
    status, body = await b.replay_in_time(filter={})
    assert (status, body["next"], body["dry_run"]) == (200, None, False)
    assert [each["id"] for each in body["data"]] == ids
    assert body["counts"]["replayed"] == 7
    assert sorted(filter(None, b.published())) == sorted(ids)
    after = [await b.backends.jobs.read(id) for id in ids]
    assert [stored and (stored.value, stored.version) for stored in after] == held
    made = {spec.replay_of: spec for spec in b.backends.published()}
    for each in body["data"]:
        spec = made[each["id"]]
        assert (spec.id, spec.tenant, spec.labels, spec.max_attempts) == (each["replay"], "acme", {"a": "b"}, 5)


async def test_replaying_twice_makes_no_second_job(b: Bench) -> None:
    """R20: nothing that is finished changes, and each original has one new job."""
    await b.dead(5)
    first = (await b.replay_in_time(filter={}))[1]
    again = (await b.replay_in_time(filter={}))[1]
    assert again["counts"] == {**first["counts"], "replayed": 0, "replayed_before": 5}
    assert [each["replay"] for each in again["data"]] == [each["replay"] for each in first["data"]]
    assert len(b.published()) == 5


async def test_many_who_replay_at_once_make_one_job_of_each(b: Bench) -> None:
    ids = await b.dead(5)
    asking = [asyncio.create_task(b.replay(filter={})) for _ in range(4)]
    for _ in range(200):
        await b.backends.clock.advance(0.01)
    answers = [(await each)[1] for each in asking]
    assert {each["outcome"] for answer in answers for each in answer["data"]} <= {
        "replayed",
        "replayed_before",
        "in_progress",
    }
    assert sorted(filter(None, b.published())) == sorted(ids)


async def test_one_is_replayed_by_its_id(b: Bench) -> None:
    [id, _] = await b.dead(2)
    for outcome in ("replayed", "replayed_before"):
        status, body = await b.replay(id=id)
        assert (status, [each["outcome"] for each in body["data"]]) == (200, [outcome])
    assert b.published() == [id]


async def test_what_is_no_dead_letter_of_yours_is_404(b: Bench) -> None:
    [mine], [theirs] = await b.dead(), await b.dead(tenant="globex")
    spec = (await b.backends.jobs.read(mine)).value.spec  # type: ignore[union-attr]
    issued = Ids(KEYS).issue("job", "acme", created_at=spec.created_at, lifetime_ms=86_400_000)
    await b.backends.claim(replace(spec, id=issued.text))
    for id in (theirs, issued.text, mine[:-1] + ("0" if mine[-1] != "0" else "1")):
        assert (await b.replay(id=id))[0] == 404
    assert (await b.replay(SYSTEM, id=theirs))[0] == 200
    assert [spec.tenant for spec in b.backends.published()] == ["globex"]


async def test_a_filter_takes_what_fits_and_nothing_else(b: Bench) -> None:
    rows = await b.dead(3, message="ValueError: no row 7")
    await b.dead(2, message="OSError: disk full")
    mark = next(each["fingerprint"] for each in (await b.groups())[1]["data"] if each["count"] == 3)
    _, body = await b.replay_in_time(filter={"fingerprint": mark})
    assert [each["id"] for each in body["data"]] == rows
    failed_at = (await b.page())[1]["data"][0]["failed_at"]
    _, body = await b.replay_in_time(filter={"failed_after": failed_at})
    assert body["data"] == []
    assert (await b.replay_in_time(filter={"handler": "cached"}))[1]["data"] == []
    assert sorted(filter(None, b.published())) == sorted(rows)


async def test_a_dry_run_foretells_it_and_makes_nothing(b: Bench) -> None:
    ids = await b.dead(3)
    await b.replay(id=ids[1])
    gone = await b.dead(1, handler="no.such")
    status, body = await b.replay(filter={}, dry_run=True)
    assert (status, body["dry_run"]) == (200, True)
    outcomes = {each["id"]: each["outcome"] for each in body["data"]}
    assert outcomes == {gone[0]: "refused", ids[0]: "would_replay", ids[1]: "replayed_before", ids[2]: "would_replay"}
    assert b.published() == [ids[1]]


async def test_what_cannot_be_replayed_says_why_and_holds_up_nothing(b: Bench) -> None:
    ids = await b.dead(2)
    [gone] = await b.dead(handler="no.such")
    _, body = await b.replay_in_time(filter={})
    assert body["counts"]["replayed"] == 2
    [refused] = [each for each in body["data"] if each["outcome"] == "refused"]
    assert (refused["id"], refused["problem"], refused["replay"]) == (gone, "/problems/unknown-handler", None)
    assert refused["detail"]
    assert sorted(filter(None, b.published())) == sorted(ids)


async def test_a_large_filter_is_replayed_in_parts_that_are_asked_for_one_by_one(b: Bench) -> None:
    ids = await b.dead(25)
    found: list[str] = []
    cursor = None
    for _ in range(4):
        _, body = await b.replay_in_time(filter={}, limit=10, cursor=cursor)
        assert len(body["data"]) <= 10
        found += [each["id"] for each in body["data"]]
        cursor = body["next"]
        if cursor is None:
            break
    assert found == ids
    assert sorted(filter(None, b.published())) == sorted(ids)


async def test_the_pace_is_kept_and_a_request_ends_in_time(b: Bench) -> None:
    await b.dead(40)
    began = b.backends.clock.monotonic()
    _, body = await b.replay_in_time(filter={}, rate_per_second=4)
    took = b.backends.clock.monotonic() - began
    assert REQUEST_SECONDS <= took <= REQUEST_SECONDS + 1
    assert len(body["data"]) == round(4 * REQUEST_SECONDS)
    assert body["next"] is not None


async def test_a_client_that_leaves_ends_it_and_who_asks_again_goes_on(b: Bench) -> None:
    ids = await b.dead(40)
    asking = asyncio.create_task(b.replay(filter={}, rate_per_second=8))
    await b.backends.clock.advance(2)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    done = len(b.published())
    assert 0 < done < 40
    await b.backends.clock.advance(20)
    assert len(b.published()) == done
    _, body = await b.replay_in_time(filter={}, rate_per_second=1_000)
    assert body["counts"]["replayed_before"] == done
    assert sorted(filter(None, b.published())) == sorted(ids)


async def test_a_store_that_is_away_halfway_says_where_to_go_on(b: Bench) -> None:
    ids = await b.dead(40)
    asking = asyncio.create_task(b.replay(filter={}, rate_per_second=8))
    await b.backends.clock.advance(2)
    b.backends.database.fail()
    await b.backends.clock.advance(1)
    status, body = await asking
    assert status == 200
    done = [each["id"] for each in body["data"]]
    assert done == ids[: len(done)]
    assert 0 < len(done) < 40
    b.backends.database.heal()
    _, rest = await b.replay_in_time(filter={}, rate_per_second=1_000, cursor=body["next"])
    assert [each["id"] for each in rest["data"]] == ids[len(done) :]
    assert sorted(filter(None, b.published())) == sorted(ids)


async def test_a_store_that_is_away_from_the_start_is_503(b: Bench) -> None:
    [id] = await b.dead()
    b.backends.database.fail()
    assert (await b.replay(id=id))[0] == 503


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"id": "job_1"}, 400),
        ({"filter": 5}, 400),
        ({"filter": False}, 400),
        ({"filter": {}, "id": f"job_{'0' * 40}"}, 400),
        ({"filter": {"team": "a"}}, 400),
        ({"filter": {"fingerprint": "XYZ"}}, 400),
        ({"filter": {"failed_after": "yesterday"}}, 400),
        ({"filter": {"tenant": "A B"}}, 400),
        ({"filter": {}, "dry_run": 1}, 400),
        ({"filter": {}, "cursor": "made-up"}, 400),
        ({"filter": {}, "rate_per_second": 0}, 422),
        ({"filter": {}, "rate_per_second": 1_001}, 422),
        ({"filter": {}, "limit": 1_001}, 422),
    ],
)
async def test_what_is_not_taken_is_refused(b: Bench, body: dict[str, Any], status: int) -> None:
    assert (await b.replay(SYSTEM, **body))[0] == status


async def test_queries_that_mean_nothing_are_refused(b: Bench) -> None:
    assert (await b.page(status="failed"))[0] == 400
    assert (await b.page(fingerprint="x"))[0] == 400
    assert (await b.page(limit="101"))[0] == 422
    assert (await b.groups(limit="5"))[0] == 400
