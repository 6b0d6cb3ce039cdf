"""The push endpoint over real HTTP, its broker and its handling in memory: each answer, each bound, the drain."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from deploy.local.ports import LOOPBACK, choose_port
from services.worker import push
from services.worker.jwks import KeySet
from services.worker.oidc import Verifier
from services.worker.push import OPEN_BEYOND_LIMITS, Receiving
from services.worker.push_lanes import pushed_queue, shared_out
from services.worker.wrapped import MAX_BODY_BYTES
from shared.clock import ManualClock, rfc3339
from shared.messaging.contract import Acknowledge, Delivery, Redeliver, Verdict
from shared.messaging.topics import WORKER, Names
from shared.models.job import Lane
from shared.telemetry.metrics import Metrics
from tests.unit.services.worker.signing import EXPECTED, TWO, Issuer

NAMES = Names()
PATIENT = 10.0


class Bench:
    """A worker's endpoint; what it is handed waits until `let_go`, when `holds`."""

    def __init__(self, session: aiohttp.ClientSession, *, capacity: int = 5) -> None:
        self.clock = ManualClock()
        self.issuer = Issuer(self.clock)
        self.metrics = Metrics()
        self.queue = pushed_queue(NAMES, "images", capacity)
        self.port = choose_port()
        self.session = session
        self.verdict: Verdict | Exception = Acknowledge()
        self.handled: list[Delivery] = []
        self.holds = False
        self.gate = asyncio.Event()
        self.released: list[str] = []
        keys = KeySet(self.issuer.fetch, self.clock, lambda: 0.5)
        self.receiving = Receiving(
            {"images": self.queue},
            Verifier(EXPECTED, keys, self.clock),
            self.handle,
            address=(LOOPBACK, self.port),
            beside=keys.run,
            clock=self.clock,
            draw=lambda: 0.5,
            metrics=self.metrics,
        )

    async def handle(self, delivery: Delivery) -> Verdict:
        self.handled.append(delivery)
        try:
            if self.holds:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.released.append(delivery.message_id)
            raise
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    async def post(self, *, lane: str = "interactive", queue: str = "images", **options: Any) -> tuple[int, Any]:
        """Push a good message, but for what `options` say of the request."""
        headers = {"Authorization": self.issuer.header(), **options.pop("headers", {})}
        options.setdefault("data", wrapped(lane=Lane(lane) if lane in {*Lane} else Lane.BULK))
        url = f"http://{LOOPBACK}:{self.port}/push/{queue}/{lane}"
        async with self.session.post(url, headers=headers, **options) as answer:
            return answer.status, answer.headers

    async def status(self, **options: Any) -> int:
        return (await self.post(**options))[0]

    async def held(self, count: int, **options: Any) -> list["asyncio.Task[int]"]:
        """So many pushes that are being handled."""
        self.holds = True
        before = len(self.handled)
        tasks = [asyncio.create_task(self.status(**options)) for _ in range(count)]
        async with asyncio.timeout(PATIENT):
            while len(self.handled) < before + count:
                await asyncio.sleep(0)
        return tasks

    def answered(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("sluice_pushes_total", {"outcome": outcome}) or 0


def wrapped(*, data: bytes = b"hi", lane: Lane = Lane.INTERACTIVE, number: str = "1") -> bytes:
    message = {
        "data": base64.b64encode(data).decode(),
        "messageId": number,
        "publishTime": rfc3339(1_700_000_000_000),
    }
    return orjson.dumps({"message": message, "subscription": f"p/{NAMES.reader(NAMES.jobs('images', lane), WORKER)}"})


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENT)) as running:
        yield running


@asynccontextmanager
async def bench(session: aiohttp.ClientSession, **options: Any) -> AsyncIterator[Bench]:
    made = Bench(session, **options)
    async with made.receiving.running():
        try:
            yield made
        finally:
            made.gate.set()


@pytest_asyncio.fixture
async def b(session: aiohttp.ClientSession) -> AsyncIterator[Bench]:
    async with bench(session) as made:
        yield made


async def test_a_message_is_handled_and_acknowledged(b: Bench) -> None:
    status, _ = await b.post(data=wrapped(data=b"\x00\xff", number="42"))
    assert status == 204
    [delivery] = b.handled
    assert (delivery.message_id, delivery.message.body) == ("42", b"\x00\xff")
    assert delivery.subscription == "sluice-jobs-images-interactive.worker"


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "0"), (0.2, "1"), (7.4, "8")])
async def test_what_is_to_come_again_is_refused_for_so_long(b: Bench, seconds: float, header: str) -> None:
    b.verdict = Redeliver(seconds)
    status, headers = await b.post()
    assert (status, headers["Retry-After"]) == (429, header)


async def test_a_fault_of_ours_is_no_acknowledgement(b: Bench) -> None:
    b.verdict = RuntimeError("a fault")
    assert await b.status() == 500
    assert b.queue.counters["sluice-jobs-images-interactive.worker"].faults == 1


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Basic eDp5", 401), ("Bearer x.y.z", 401), ("forged", 401), ("late", 401), ("stranger", 403)],
)
async def test_who_may_not_push_runs_nothing(b: Bench, header: str | None, status: int) -> None:
    """S12, through the endpoint; each check alone is in test_oidc."""
    made = {
        "forged": b.issuer.header(TWO),
        "late": b.issuer.header(exp=1),
        "stranger": b.issuer.header(email="stranger@project.example"),
    }
    headers = {"Authorization": made.get(header or "", header or "")}
    assert await b.status(headers=headers) == status
    assert b.handled == []


async def test_without_keys_nobody_is_believed(session: aiohttp.ClientSession) -> None:
    b = Bench(session)
    b.issuer.down = True
    async with b.receiving.running():
        status, headers = await b.post()
        assert (status, "Retry-After" in headers) == (503, True)
        assert b.handled == []


async def test_other_lanes_and_other_ways_of_asking_find_nothing(b: Bench) -> None:
    assert await b.status(queue="texts") == 404
    assert await b.status(lane="dead") == 404
    async with b.session.get(f"http://{LOOPBACK}:{b.port}/push/images/bulk") as answer:
        assert answer.status == 405


async def test_strangers_do_not_learn_which_lanes_there_are(b: Bench) -> None:
    headers = {"Authorization": "Bearer x"}
    assert await b.status(queue="texts", headers=headers) == await b.status(headers=headers) == 401


async def test_a_message_of_another_lane_is_refused(b: Bench) -> None:
    assert await b.status(data=wrapped(lane=Lane.BULK)) == 400
    assert b.handled == []


async def test_a_body_that_is_no_message_is_refused(b: Bench) -> None:
    assert await b.status(data=b"{}") == 400


async def test_a_body_that_is_too_large_is_refused(b: Bench) -> None:
    assert await b.status(data=io.BytesIO(b" " * (MAX_BODY_BYTES + 1))) == 413


async def test_a_large_body_that_does_not_say_so_is_refused(b: Bench) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 1_000_000 + 2):
            yield b" " * 1_000_000

    assert await b.status(data=pieces()) == 413


async def test_a_compressed_body_is_refused(b: Bench) -> None:
    assert await b.status(data=b"x", headers={"Content-Encoding": "gzip"}) == 415


async def test_a_body_that_does_not_come_is_not_waited_for(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "BODY_SECONDS", 0.05)
    ends = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{"
        await ends.wait()

    assert await b.status(data=pieces()) == 408
    ends.set()


async def test_each_lane_has_its_own_bound(b: Bench) -> None:
    """Of five, four are for single jobs and one for batches; neither takes what the other leaves."""
    running = await b.held(4)
    assert await b.status() == 429
    running += await b.held(1, lane="bulk")
    status, headers = await b.post(lane="bulk")
    assert (status, headers["Retry-After"]) == (429, "1")
    b.gate.set()
    assert await asyncio.gather(*running) == [204] * 5
    assert await b.status() == 204
    assert b.answered("full") == 2


async def test_no_more_is_in_hand_than_the_queue_can_run(session: aiohttp.ClientSession) -> None:
    async with bench(session, capacity=1) as b:
        running = await b.held(1)
        assert await b.status(lane="bulk") == 429
        b.gate.set()
        assert await asyncio.gather(*running) == [204]


@pytest.mark.parametrize(("capacity", "parts"), [(1, (1, 1)), (2, (1, 1)), (3, (2, 1)), (5, (4, 1)), (218, (175, 43))])
def test_a_capacity_is_shared_out_by_weight(capacity: int, parts: tuple[int, int]) -> None:
    shared = shared_out(capacity)
    assert (shared[Lane.INTERACTIVE], shared[Lane.BULK]) == parts


async def test_requests_that_are_only_open_are_bounded_too(session: aiohttp.ClientSession) -> None:
    """The issuer hangs: nobody can be verified, and not everybody may wait for that."""
    b = Bench(session)
    b.issuer.holds = asyncio.Event()
    bound = 5 + OPEN_BEYOND_LIMITS
    async with b.receiving.running():
        waiting = [asyncio.create_task(b.status()) for _ in range(bound)]
        async with asyncio.timeout(PATIENT):
            while b.receiving._open < bound:
                await asyncio.sleep(0)
        assert await b.status() == 429
        b.issuer.holds.set()
        assert set(await asyncio.gather(*waiting)) <= {204, 429}


async def test_a_sender_that_leaves_does_not_end_what_was_begun(b: Bench) -> None:
    [sender] = await b.held(1)
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    b.gate.set()
    async with asyncio.timeout(PATIENT):
        while b.answered("acknowledged") == 0:
            await asyncio.sleep(0)
    assert b.released == []


async def test_a_paused_queue_is_turned_away_and_goes_on(b: Bench) -> None:
    running = await b.held(1)
    b.receiving.pause(["images", "texts"])
    assert await b.status() == 429
    b.gate.set()
    assert await asyncio.gather(*running) == [204]
    b.receiving.pause(["texts"])
    assert await b.status() == 204


async def test_a_worker_that_leaves_turns_away_at_once_and_lets_what_runs_finish(b: Bench) -> None:
    running = await b.held(2)
    await b.receiving.stop()
    status, headers = await b.post()
    assert (status, headers["Connection"], "Retry-After" in headers) == (503, "close", True)
    draining = asyncio.create_task(b.receiving.drain(PATIENT))
    b.gate.set()
    await draining
    assert await asyncio.gather(*running) == [204, 204]
    assert b.released == []


async def test_a_worker_that_leaves_does_not_even_wait_for_the_body(b: Bench) -> None:
    await b.receiving.stop()
    ends = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{"
        await ends.wait()

    async with asyncio.timeout(push.BODY_SECONDS / 2):
        assert await b.status(data=pieces()) == 503
    ends.set()


async def test_what_does_not_finish_in_time_is_given_back(b: Bench) -> None:
    running = await b.held(2)
    await b.receiving.stop()
    await b.receiving.drain(0.01)
    assert await asyncio.gather(*running) == [503, 503]
    assert len(b.released) == 2
    assert b.queue.counters["sluice-jobs-images-interactive.worker"].released == 2


async def test_what_the_handling_gives_back_while_leaving_is_turned_away_as_such(b: Bench) -> None:
    b.verdict = Redeliver()
    running = await b.held(1)
    await b.receiving.stop()
    b.gate.set()
    assert await asyncio.gather(*running) == [503]


async def test_what_is_in_hand_is_counted(b: Bench) -> None:
    subscription = "sluice-jobs-images-interactive.worker"
    running = await b.held(2)
    counters = b.queue.counters[subscription]
    assert (counters.pulled, counters.in_flight, counters.newest_at) == (2, 2, 1_700_000_000_000)
    assert b.queue.oldest_at(subscription) == 1_700_000_000_000
    b.gate.set()
    await asyncio.gather(*running)
    assert (counters.acknowledged, counters.in_flight) == (2, 0)
    assert b.queue.oldest_at(subscription) is None


async def test_a_flaw_is_told_of_once_in_a_while(b: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        await b.post(headers={"Authorization": "Bearer secret-token"})
    assert [record.message for record in caplog.records] == ["a push was refused for its token"]
    assert "secret-token" not in str(caplog.records[0].__dict__)
    assert b.answered("token_malformed") == 5
