"""The express lane over a real socket: what it takes, what it leaves, and that order and departures are kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import orjson
import pytest

from services.gateway.settings import Settings
from shared.config import Secret
from shared.messaging.memory import Outage
from shared.models.public import snapshot
from tests.integration.gateway.express_bench import APPLICATION, Bench, Client, express_bench, order
from tests.unit.services.gateway.backends import SETTINGS


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with express_bench() as running:
        yield running


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[Client]:
    async with bench.connected() as connected:
        yield connected


# What it takes


async def test_a_posted_job_is_accepted_once_it_is_published(bench: Bench, client: Client) -> None:
    reply = await client.ask("POST", "/v1/jobs", order())
    [spec] = bench.backends.published()
    job = orjson.loads(reply.body)
    assert (reply.status, job["id"], job["status"]) == (202, spec.id, "queued")
    assert reply.headers["Location"] == f"/v1/jobs/{spec.id}"
    assert spec.input == b'{"a":1}'
    assert (await bench.backends.cache.fetch(spec.id)) is not None


async def test_a_finished_job_at_hand_is_its_bytes(bench: Bench, client: Client) -> None:
    over = bench.over(bench.queued())
    bench.finished.put(over)
    replies = [await client.ask("GET", f"/v1/jobs/{over.id}") for _ in range(2)]
    assert [(each.status, each.body) for each in replies] == [(200, over.body)] * 2
    reply = replies[0]
    known = await client.ask("GET", f"/v1/jobs/{over.id}", If_None_Match=reply.headers["ETag"])
    assert (known.status, known.body, known.headers["ETag"]) == (304, b"", reply.headers["ETag"])
    waited = await client.ask("GET", f"/v1/jobs/{over.id}", Prefer="wait=5")
    assert (waited.body, waited.headers["Preference-Applied"]) == (over.body, "wait=5")


async def test_a_finished_job_of_another_tenant_is_not_given_away(bench: Bench, client: Client) -> None:
    foreign = bench.over(bench.queued("globex"))
    bench.finished.put(foreign)
    assert (await client.ask("GET", f"/v1/jobs/{foreign.id}")).status == APPLICATION
    assert (await client.ask("GET", f"/v1/jobs/{foreign.id}", Prefer="wait=1")).status == APPLICATION


async def test_a_waiter_is_answered_with_the_end(bench: Bench, client: Client) -> None:
    job = bench.queued()
    await bench.backends.cache.tell(snapshot(job))
    client.send("GET", f"/v1/jobs/{job.spec.id}", Prefer="wait=30")
    await bench.until_held(1)
    over = bench.over(job)
    await bench.backends.cache.tell(over)
    reply = await client.reply()
    assert (reply.status, reply.body, reply.headers["Preference-Applied"]) == (200, over.body, "wait=30")
    await asyncio.wait_for(bench.edge.idle(), 5)
    assert bench.waiting.count == 0


async def test_a_waiter_that_knows_the_state_is_answered_with_any_other(bench: Bench, client: Client) -> None:
    job = bench.queued()
    await bench.backends.cache.tell(snapshot(job))
    client.send("GET", f"/v1/jobs/{job.spec.id}", Prefer="wait=30", If_None_Match=f'"{job.order:x}"')
    await bench.until_held(1)
    await bench.backends.cache.tell(snapshot(bench.running(job)))
    reply = await client.reply()
    assert (reply.status, orjson.loads(reply.body)["status"]) == (200, "running")
    assert reply.headers["Retry-After"]


async def test_a_wait_that_is_over_is_answered_with_the_state_as_it_is(bench: Bench, client: Client) -> None:
    job = bench.queued()
    await bench.backends.cache.tell(snapshot(job))
    reply = await client.ask("GET", f"/v1/jobs/{job.spec.id}", Prefer="wait=1")
    assert (reply.status, orjson.loads(reply.body)["status"]) == (200, "queued")
    known = await client.ask("GET", f"/v1/jobs/{job.spec.id}", Prefer="wait=1", If_None_Match=reply.headers["ETag"])
    assert (known.status, known.body) == (304, b"")


async def test_who_posts_and_waits_is_answered_with_the_end(bench: Bench, client: Client) -> None:
    client.send("POST", "/v1/jobs", order(), Prefer="wait=30")
    await bench.until_held(1)
    [spec] = bench.backends.published()
    over = bench.over(replace(bench.queued(), spec=spec))
    await bench.backends.cache.tell(over)
    reply = await client.reply()
    assert (reply.status, reply.body) == (200, over.body)
    assert (reply.headers["Location"], reply.headers["Preference-Applied"]) == (f"/v1/jobs/{spec.id}", "wait=30")


async def test_a_keyed_request_runs_once(bench: Bench, client: Client) -> None:
    first = await client.ask("POST", "/v1/jobs", order(), Idempotency_Key="k")
    again = await client.ask("POST", "/v1/jobs", order(), Idempotency_Key="k")
    assert orjson.loads(first.body)["id"] == orjson.loads(again.body)["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(bench.backends.published()) == 1


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"{", 400, "invalid-request"),
        (b'{"handler":"plain","input":1,"input":2}', 400, "invalid-request"),
        (b'{"handler":"plain","input" :1,"input" :2}', 400, "invalid-request"),
        (order(timeout_seconds=1e9), 422, "out-of-range"),
        (order(handler="plein"), 404, "unknown-handler"),
    ],
)
async def test_a_submission_that_is_not_valid_is_refused(
    bench: Bench, client: Client, body: bytes, status: int, slug: str
) -> None:
    reply = await client.ask("POST", "/v1/jobs", body)
    assert (reply.status, orjson.loads(reply.body)["type"]) == (status, f"/problems/{slug}")
    assert orjson.loads(reply.body)["instance"] == reply.headers["X-Request-Id"]
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert not bench.backends.published()


async def test_a_broker_that_is_down_is_503(bench: Bench, client: Client) -> None:
    bench.backends.broker.outage = Outage.UNREACHABLE
    reply = await client.ask("POST", "/v1/jobs", order())
    assert (reply.status, orjson.loads(reply.body)["accepted"]) == (503, False)
    assert reply.headers["Retry-After"]
    await asyncio.wait_for(bench.edge.idle(), 5)


async def test_a_key_that_asks_too_often_is_429() -> None:
    settings = Settings(id_keys=Secret(SETTINGS.id_keys.reveal()), port=0, requests_per_second=1, request_burst=3)
    async with express_bench(settings) as bench, bench.connected() as client:
        statuses = [(await client.ask("POST", "/v1/jobs", order())).status for _ in range(5)]
    assert statuses[0] == 202
    assert statuses[-1] == 429


# What it leaves to the application


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/v1/jobs", {}),
        ("GET", "/v1/jobs/{id}/events", {}),
        ("GET", "/v1/jobs/{id}?expand=input", {}),
        ("GET", "/v1/jobs/{id}", {"Content_Encoding": "gzip"}),
        ("GET", "/v1/jobs/{id}", {"Authorization": "Bearer sk_k1_wrong"}),
        ("GET", "/v1/jobs/{id}", {"Connection": "close"}),
        ("GET", "/v1/jobs/job_forged", {"Prefer": "wait=1"}),
        ("HEAD", "/v1/jobs/{id}", {}),
        ("DELETE", "/v1/jobs/{id}", {}),
    ],
)
async def test_anything_unusual_is_the_applications(
    bench: Bench, client: Client, method: str, path: str, headers: dict[str, str]
) -> None:
    over = bench.over(bench.queued())
    bench.finished.put(over)
    client.send(method, path.format(id=over.id), b"", **headers)
    if method == "HEAD":
        assert b" 299 " in await asyncio.wait_for(client._reader.readuntil(b"\r\n\r\n"), 5)
    else:
        assert (await client.reply()).status == APPLICATION


@pytest.mark.parametrize(
    "headers",
    [{"Content_Type": "text/plain"}, {"Content_Encoding": "gzip"}, {"Expect": "nothing"}],
)
async def test_an_unusual_body_is_the_applications(bench: Bench, client: Client, headers: dict[str, str]) -> None:
    reply = await client.ask("POST", "/v1/jobs", order(), **headers)
    assert reply.status in {APPLICATION, 417}
    assert not bench.backends.published()


async def test_a_body_in_pieces_or_too_large_is_the_applications(bench: Bench, client: Client) -> None:
    body = order()
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    client.write(head.encode() + body[:5])
    await asyncio.sleep(0.05)  # so that the pieces are two packets
    client.write(body[5:])
    assert orjson.loads((await client.reply()).body) == {"body": len(body)}
    large = order(input="x" * SETTINGS.max_body_bytes)
    assert (await client.ask("POST", "/v1/jobs", large)).status in {APPLICATION, 413}
    assert not bench.backends.published()


# Order, and departures


async def test_answers_keep_the_order_of_pipelined_requests(bench: Bench, client: Client) -> None:
    job, over = bench.queued(), bench.over(bench.queued())
    bench.finished.put(over)
    await bench.backends.cache.tell(snapshot(job))
    client.send("GET", f"/v1/jobs/{job.spec.id}", Prefer="wait=30")
    await bench.until_held(1)
    client.send("GET", f"/v1/jobs/{over.id}")
    client.send("POST", "/v1/jobs", order())
    await asyncio.sleep(0.05)  # time enough for an answer that is out of order
    await bench.backends.cache.tell(bench.over(job))
    first, second, third = [await client.reply() for _ in range(3)]
    assert orjson.loads(first.body)["id"] == job.spec.id
    assert {second.status, third.status} == {APPLICATION}  # in order behind it, and so no business of the lane's
    assert (await client.ask("GET", f"/v1/jobs/{over.id}")).body == over.body


async def test_requests_in_one_packet_are_answered_in_order(bench: Bench, client: Client) -> None:
    over = bench.over(bench.queued())
    bench.finished.put(over)
    line = f"GET /v1/jobs/{over.id} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    client.write(line * 3)
    assert [(await client.reply()).status for _ in range(3)] == [APPLICATION] * 3


async def test_what_comes_behind_a_slow_answer_of_the_application_waits_for_it(bench: Bench, client: Client) -> None:
    over = bench.over(bench.queued())
    bench.finished.put(over)
    client.send("GET", "/slow")
    await asyncio.sleep(0.03)  # so that it is under way
    client.send("GET", f"/v1/jobs/{over.id}")
    assert [(await client.reply()).status for _ in range(2)] == [APPLICATION] * 2


async def test_the_lane_has_a_connection_that_the_application_had(bench: Bench, client: Client) -> None:
    over = bench.over(bench.queued())
    bench.finished.put(over)
    for _ in range(3):
        assert (await client.ask("GET", "/other")).status == APPLICATION
        assert (await client.ask("GET", f"/v1/jobs/{over.id}")).status == 200


async def test_a_client_that_leaves_is_held_no_more(bench: Bench, client: Client) -> None:
    """R27."""
    job = bench.queued()
    await bench.backends.cache.tell(snapshot(job))
    client.send("GET", f"/v1/jobs/{job.spec.id}", Prefer="wait=30")
    await bench.until_held(1)
    client.leave()
    await bench.until_held(0)
    await asyncio.wait_for(bench.edge.idle(), 5)
    await bench.backends.cache.tell(bench.over(job))
    async with bench.connected() as other:
        assert (await other.ask("POST", "/v1/jobs", order())).status == 202


async def test_whoever_is_held_is_answered_when_the_gateway_leaves(bench: Bench) -> None:
    """R26: with the state, and to come back at different moments."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(bench.connected()) for _ in range(5)]
        for client in clients:
            job = bench.queued()
            await bench.backends.cache.tell(snapshot(job))
            client.send("GET", f"/v1/jobs/{job.spec.id}", Prefer="wait=30")
        await bench.until_held(5)
        bench.run_times.spread_out()
        bench.waiting.release_all()
        replies = [await client.reply() for client in clients]
        assert {(each.status, orjson.loads(each.body)["status"]) for each in replies} == {(200, "queued")}
        assert {each.headers["Retry-After"] for each in replies} == {"1", "3", "5"}
        await asyncio.wait_for(bench.edge.idle(), 5)


async def test_half_a_head_behind_an_express_answer_is_not_waited_for() -> None:
    settings = Settings(id_keys=Secret(SETTINGS.id_keys.reveal()), port=0, head_seconds=0.5)
    async with express_bench(settings) as bench, bench.connected() as client:
        assert (await client.ask("POST", "/v1/jobs", order())).status == 202
        client.write(b"GET /v1/jobs/x HTTP/1.1\r\nHost")
        assert (await client.end()).startswith(b"HTTP/1.1 408 ")


async def test_a_request_that_is_held_is_no_slow_head() -> None:
    settings = Settings(id_keys=Secret(SETTINGS.id_keys.reveal()), port=0, head_seconds=0.3)
    async with express_bench(settings) as bench, bench.connected() as client:
        job = bench.queued()
        await bench.backends.cache.tell(snapshot(job))
        assert (await client.ask("GET", f"/v1/jobs/{job.spec.id}", Prefer="wait=2")).status == 200
        assert (await client.ask("POST", "/v1/jobs", order(), Prefer="wait=2")).status == 202
