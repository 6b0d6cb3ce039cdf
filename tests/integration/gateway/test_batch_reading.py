"""Batches that exist, over a real socket: read, waited for, listed, streamed, canceled, deleted; and whose they are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from shared.models import bitmap
from shared.models.batch import BatchStatus, Reduction
from shared.models.batch_items import Items
from shared.models.batch_public import CANCEL_REQUESTED
from shared.models.job import ErrorCode, Job, JobError, JobStatus
from shared.storage.batch_contract import change
from tests.integration.gateway.batch_bench import Answer, Bench, batch_bench, ndjson, texts, until

ROUTES = (
    ("GET", ""),
    ("DELETE", ""),
    ("GET", "/jobs"),
    ("GET", "/outputs"),
    ("GET", "/outputs?partial=true"),
    ("POST", "/cancel"),
)
NO = JobError(ErrorCode.REJECTED, "no", retryable=False)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with batch_bench() as running:
        yield running


async def posted(bench: Bench, count: int, **more: Any) -> str:
    answer = await bench.post(texts(count), **more)
    assert answer.status == 202
    return str(answer.json["id"])


async def completed(bench: Bench, count: int) -> str:
    """With all of its items succeeded: item i has given i."""
    id = await posted(bench, count)
    for spec in bench.published():
        if spec.batch == id:
            await bench.finish(spec, b"%d" % (spec.index or 0))
    after = await bench.merge(id, Items(succeeded=bitmap.full(count)))
    assert after.status is BatchStatus.COMPLETED
    return id


def spec_of(bench: Bench, index: int) -> Any:
    return next(spec for spec in bench.published() if spec.index == index)


async def test_a_batch_is_read_with_its_etag(bench: Bench) -> None:
    id = await posted(bench, 3)
    first = await bench.ask("GET", f"/v1/batches/{id}")
    assert (first.status, first.json["counts"]["queued"]) == (200, 3)
    tag = {"If-None-Match": first.headers["ETag"]}
    assert (await bench.ask("GET", f"/v1/batches/{id}", headers=tag)).status == 304
    await bench.merge(id, Items(succeeded=1, failed=2))
    changed = await bench.ask("GET", f"/v1/batches/{id}", headers=tag)
    assert (changed.status, changed.json["counts"]["succeeded"], changed.json["counts"]["failed"]) == (200, 1, 1)
    assert "Retry-After" in changed.headers
    await bench.merge(id, Items(succeeded=4))
    over = await bench.ask("GET", f"/v1/batches/{id}")
    assert (over.json["status"], "Retry-After" in over.headers) == ("completed", False)
    bench.database.fail()  # what is over never changes, and is held
    assert (await bench.ask("GET", f"/v1/batches/{id}")).json == over.json


async def test_a_client_waits_for_the_end_or_for_any_change(bench: Bench) -> None:
    id = await posted(bench, 2)
    tag = (await bench.ask("GET", f"/v1/batches/{id}")).headers["ETag"]
    wait = {"Prefer": "wait=20"}
    end = asyncio.create_task(bench.ask("GET", f"/v1/batches/{id}", headers=wait))
    change = asyncio.create_task(bench.ask("GET", f"/v1/batches/{id}", headers={**wait, "If-None-Match": tag}))
    await until(lambda: bench.waiting.count == 2)
    await bench.merge(id, Items(succeeded=1))
    async with asyncio.timeout(10):
        assert (await change).json["counts"]["succeeded"] == 1
        assert not end.done()
        await bench.merge(id, Items(succeeded=2))
        answer = await end
    assert (answer.json["status"], answer.headers["Preference-Applied"]) == ("completed", "wait=20")
    short = {"Prefer": "wait=1", "If-None-Match": answer.headers["ETag"]}
    assert (await bench.ask("GET", f"/v1/batches/{id}", headers=short)).status == 304


async def test_waiting_outlives_the_loss_of_redis(bench: Bench) -> None:
    id = await posted(bench, 1)
    bench.cache.stop()
    answer = await bench.ask("GET", f"/v1/batches/{id}", headers={"Prefer": "wait=1"})
    assert (answer.status, answer.json["status"]) == (200, "running")


async def test_what_belongs_to_another_tenant_is_404_like_what_does_not_exist(bench: Bench) -> None:
    id = await completed(bench, 2)
    flipped = [id[:place] + ("0" if id[place] != "0" else "1") + id[place + 1 :] for place in range(4, 44)]
    assert (await bench.ask("GET", "/v1/batches", tenant="globex")).status == 200  # its key is known
    bench.database.fail()  # nobody is asked

    def said(answer: Answer) -> Any:
        return {**answer.json, "instance": ""}

    for method, path in ROUTES:
        foreign = await bench.ask(method, f"/v1/batches/{id}{path}", tenant="globex")
        nowhere = await bench.ask(method, f"/v1/batches/unknown{path}", tenant="globex")
        assert foreign.status == nowhere.status == 404, (method, path)
        assert said(foreign) == said(nowhere)
        for other in (f"job_{id[4:]}", *flipped[:: 7 if path else 1]):
            assert (await bench.ask(method, f"/v1/batches/{other}{path}")).status == 404


async def test_a_list_has_the_tenants_batches_newest_first(bench: Bench) -> None:
    made = []
    for _ in range(5):
        made.append(await posted(bench, 1))
        await bench.clock.advance(1)
    answer = await bench.ask("GET", "/v1/batches?limit=2")
    found = answer.json["data"]
    while answer.json["next"]:
        answer = await bench.ask("GET", f"/v1/batches?limit=2&cursor={answer.json['next']}")
        found += answer.json["data"]
    assert [each["id"] for each in found] == made[::-1]
    assert found[0]["counts"]["queued"] == 1
    await bench.merge(made[2], Items(succeeded=1))
    [only] = (await bench.ask("GET", "/v1/batches?status=completed")).json["data"]
    assert only["id"] == made[2]
    assert (await bench.ask("GET", "/v1/batches", tenant="globex")).json == {"data": [], "next": None}
    for query in ("status=none", "nonsense=1", "cursor=x"):
        assert (await bench.ask("GET", f"/v1/batches?{query}")).status == 400


async def every_item(bench: Bench, id: str, query: str) -> list[Any]:
    answer = await bench.ask("GET", f"/v1/batches/{id}/jobs?limit=7&{query}")
    assert answer.status == 200, answer.body
    found = list(answer.json["data"])
    while answer.json["next"]:
        answer = await bench.ask("GET", f"/v1/batches/{id}/jobs?limit=7&{query}&cursor={answer.json['next']}")
        found += answer.json["data"]
    return found


async def test_items_are_listed_by_status_in_the_order_of_their_indexes(bench: Bench) -> None:
    id = await posted(bench, 250, labels={"team": "a"})
    specs = {spec.index: spec for spec in bench.published()}
    for index in range(0, 250, 10):
        job = Job.queued(specs[index]).claimed(attempt=1, fence="f", worker="w", lease_seconds=1, at=1)
        await bench.jobs.create(job.failed(NO, at=bench.clock.now()))
    await bench.jobs.create(Job.queued(specs[5]).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=1))
    await bench.merge(id, Items(started=bitmap.of([5]), failed=bitmap.of(range(0, 250, 10))))
    failed = await every_item(bench, id, "status=failed")
    assert [each["index"] for each in failed] == list(range(0, 250, 10))
    assert {each["status"] for each in failed} == {"failed"}
    assert failed[1]["error"]["message"] == "no"
    assert [each["index"] for each in await every_item(bench, id, "status=running")] == [5]
    queued = await every_item(bench, id, "status=queued")
    assert [each["index"] for each in queued] == [n for n in range(250) if n % 10 and n != 5]
    assert (queued[0]["handler"], queued[0]["labels"], queued[0]["batch"]) == ("text.stats", {"team": "a"}, id)
    everything = await every_item(bench, id, "")
    assert [each["id"] for each in everything] == [specs[index].id for index in range(250)]
    assert "output" not in everything[0]
    for query in ("status=none", "nonsense=1", "limit=1000"):
        assert (await bench.ask("GET", f"/v1/batches/{id}/jobs?{query}")).status in {400, 422}


async def test_a_cursor_is_good_for_its_batch_alone(bench: Bench) -> None:
    one, other = await posted(bench, 3), await posted(bench, 3)
    cursor = (await bench.ask("GET", f"/v1/batches/{one}/jobs?limit=1")).json["next"]
    assert (await bench.ask("GET", f"/v1/batches/{other}/jobs?cursor={cursor}")).status == 400


async def test_a_rare_state_is_found_page_by_page(bench: Bench) -> None:
    answer = await bench.upload(ndjson(texts(3_000)))
    id = answer.json["id"]
    spec = spec_of(bench, 2_900)
    await bench.jobs.create(Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=1))
    first = await bench.ask("GET", f"/v1/batches/{id}/jobs?status=running")
    assert (first.json["data"], first.json["next"] is None) == ([], False)
    assert [each["index"] for each in await every_item(bench, id, "status=running")] == [2_900]


async def test_outputs_are_all_lines_in_order(bench: Bench) -> None:
    id = await posted(bench, 300)
    specs = {spec.index: spec for spec in bench.published()}
    for index in range(299):
        await bench.finish(specs[index], orjson.dumps({"n": index}))
    job = Job.queued(specs[299]).claimed(attempt=1, fence="f", worker="w", lease_seconds=1, at=1)
    await bench.jobs.create(job.failed(NO, at=bench.clock.now()))
    await bench.merge(id, Items(succeeded=bitmap.full(200)))
    early = await bench.ask("GET", f"/v1/batches/{id}/outputs")
    assert (early.status, early.json["type"]) == (409, "/problems/batch-not-terminal")
    assert early.json["batch"]["counts"]["succeeded"] == 200
    partial = await bench.ask("GET", f"/v1/batches/{id}/outputs?partial=true&start=150")
    assert [line["index"] for line in partial.lines] == list(range(150, 200))
    await bench.merge(id, Items(succeeded=bitmap.full(299), failed=1 << 299))
    whole = await bench.ask("GET", f"/v1/batches/{id}/outputs")
    assert (whole.status, whole.headers["Content-Type"]) == (200, "application/x-ndjson")
    expected: list[Any] = [
        {"index": n, "id": specs[n].id, "status": "succeeded", "output": {"n": n}, "error": None} for n in range(299)
    ]
    error = {"code": "rejected", "message": "no", "retryable": False}
    expected.append({"index": 299, "id": specs[299].id, "status": "failed", "output": None, "error": error})
    assert whole.lines == expected
    for query in ("partial=1", "start=-1", "start=x", "nonsense=1"):
        assert (await bench.ask("GET", f"/v1/batches/{id}/outputs?{query}")).status == 400


async def test_outputs_past_their_retention_are_null(bench: Bench) -> None:
    id = await completed(bench, 2)
    answer = await bench.ask("GET", f"/v1/batches/{id}/outputs")
    assert [line["output"] for line in answer.lines] == [0, 1]
    stored = await bench.jobs.read(spec_of(bench, 1).id)
    assert stored is not None
    await bench.jobs.replace(stored.value.erased(at=bench.clock.now()), stored.version)
    answer = await bench.ask("GET", f"/v1/batches/{id}/outputs")
    assert [(line["status"], line["output"]) for line in answer.lines] == [("succeeded", 0), ("succeeded", None)]


async def test_outputs_that_break_off_are_seen_to(bench: Bench) -> None:
    id = await completed(bench, 400)
    headers = {"Authorization": f"Bearer {bench.tokens['acme']}"}
    async with bench.session.get(f"{bench.url}/v1/batches/{id}", headers=headers) as state:
        assert state.status == 200

    original, calls = bench.items.outcomes, 0

    async def failing(ids: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            bench.database.fail()
        return await original(ids)

    bench.items.outcomes = failing  # type: ignore[method-assign]
    with pytest.raises(aiohttp.ClientPayloadError):
        await bench.ask("GET", f"/v1/batches/{id}/outputs")


async def test_a_cancel_is_written_and_told_before_the_answer(bench: Bench) -> None:
    id = await posted(bench, 3)
    for _ in range(2):
        answer = await bench.ask("POST", f"/v1/batches/{id}/cancel")
        assert (answer.status, answer.json["status"]) == (202, "running")
        assert answer.json["cancel_requested_at"] is not None
    assert {event.id for event in bench.events()} >= {f"{id}:{CANCEL_REQUESTED}"}
    assert (await bench.batch(id)).cancel_requested_at is not None
    await bench.merge(id, Items(succeeded=1, canceled=6))
    over = await bench.ask("POST", f"/v1/batches/{id}/cancel")
    assert (over.status, over.json["status"]) == (200, "canceled")


async def test_a_cancel_that_comes_too_late_is_a_conflict(bench: Bench) -> None:
    id = await completed(bench, 1)
    answer = await bench.ask("POST", f"/v1/batches/{id}/cancel")
    assert (answer.status, answer.json["type"]) == (409, "/problems/batch-terminal")
    assert answer.json["batch"]["status"] == "completed"


async def test_a_batch_that_is_not_over_cannot_be_deleted(bench: Bench) -> None:
    id = await posted(bench, 1)
    answer = await bench.ask("DELETE", f"/v1/batches/{id}")
    assert (answer.status, answer.json["type"]) == (409, "/problems/batch-not-terminal")


async def test_a_deleted_batch_leaves_stubs_and_nothing_else(bench: Bench) -> None:
    id = await completed(bench, 250)
    other = await completed(bench, 2)
    for _ in range(2):
        assert (await bench.ask("DELETE", f"/v1/batches/{id}")).status == 204
    for method, path in ROUTES:
        status = (await bench.ask(method, f"/v1/batches/{id}{path}")).status
        assert status == (204 if method == "DELETE" else 410), (method, path)
    for spec in bench.published():
        stored = await bench.jobs.read(spec.id)
        assert stored is not None
        assert (stored.value.deleted_at is not None) == (spec.batch == id)
        assert stored.value.deleted_at is None or (stored.value.output, stored.value.spec.input) == (None, b"")
        assert stored.value.status is JobStatus.SUCCEEDED
    assert await bench.remembered(id) == []
    assert len(await bench.remembered(other)) == 1
    listed = (await bench.ask("GET", "/v1/batches")).json["data"]
    assert [each["id"] for each in listed] == [other]


async def test_what_one_request_cannot_delete_the_next_does() -> None:
    async with batch_bench(erase_seconds=0.5) as bench:
        id = await completed(bench, 400)
        original, calls = bench.items.outcomes, 0

        async def stalling(ids: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3:
                await asyncio.Event().wait()
            return await original(ids)

        bench.items.outcomes = stalling  # type: ignore[method-assign]
        answer = await bench.ask("DELETE", f"/v1/batches/{id}")
        assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        assert (await bench.ask("GET", f"/v1/batches/{id}")).status == 200
        assert (await bench.ask("DELETE", f"/v1/batches/{id}")).status == 204
        assert all(job.deleted_at is not None for job, _ in bench.database.jobs.documents.values())


async def test_the_reduction_is_deleted_with_its_batch(bench: Bench) -> None:
    id = await posted(bench, 1, reduce={"handler": "sum", "field": "n"})
    batch = await bench.merge(id, Items(succeeded=1))
    assert batch.status is BatchStatus.RUNNING
    spec = batch.spec.reduction(bench.ids.reduction("acme", id).text)
    await bench.finish(spec, b'"secret"')

    def reduced(each: Any) -> Any:
        done = Reduction(spec.id, JobStatus.SUCCEEDED, b'"secret"')
        return each.reducing(done).concluded(at=bench.clock.now())

    await change(bench.batches, id, reduced)
    shown = await bench.ask("GET", f"/v1/batches/{id}", headers={"If-None-Match": '"fffff"'})
    assert shown.json["reduce"]["output"] == "secret"
    assert (await bench.ask("DELETE", f"/v1/batches/{id}")).status == 204
    stored = await bench.jobs.read(spec.id)
    assert stored is not None
    assert stored.value.output is None
    assert b"secret" not in repr(await bench.batch(id)).encode()


async def test_past_its_retention_a_batch_is_gone(bench: Bench) -> None:
    id = await completed(bench, 1)
    await bench.clock.advance(86_400 + 1)
    fresh = await bench.ask("GET", f"/v1/batches/{id}/jobs")
    assert (fresh.status, fresh.json["type"]) == (410, "/problems/gone")
    assert (await bench.ask("GET", "/v1/batches")).json["data"] == []
