"""The loops against a small server with planted faults: right answers are counted, wrong ones are caught."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.load.generator.closed import ClosedLoop
from tests.load.generator.http1 import get
from tests.load.generator.jobs import Flow
from tests.load.generator.open import OpenLoop
from tests.load.generator.plans import Check, Closed, Exchange, Jobs, Open, Waiters
from tests.load.generator.waiters import Crowd

HOST = "127.0.0.1"
Answer = Callable[[int, str, bytes], Awaitable[tuple[int, bytes] | None]]
"""From the request's number, its first line and its body to status and body; None closes the connection."""


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """A server on a port of its own."""
    number = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        while head := await _head(reader):
            length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            number += 1
            said = await answer(number, head.partition("\r\n")[0], body)
            if said is None:
                break
            status, reply = said
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(reply)}\r\n\r\n".encode() + reply)
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return ""


def closed(port: int, *, count: int = 0, seconds: float = 0.2, check: Check = "exact") -> Closed:
    exchange = Exchange(get("/x").decode(), "right")
    return Closed(HOST, port, [exchange], 4, 0.0, seconds, check=check, count=count)


async def right(number: int, line: str, body: bytes) -> tuple[int, bytes]:
    return 200, b"right"


async def test_a_closed_loop_counts_answers_within_its_time() -> None:
    async with serving(right) as port:
        tally = await ClosedLoop(closed(port)).run()
    assert tally.wrong == 0
    assert tally.answered == tally.latencies.count > 4
    assert tally.elapsed == pytest.approx(0.2, abs=0.15)


async def test_a_closed_loop_of_a_count_sends_just_so_many() -> None:
    async with serving(right) as port:
        tally = await ClosedLoop(closed(port, count=10, seconds=5)).run()
    assert (tally.answered, tally.wrong) == (10, 0)


@pytest.mark.parametrize("planted", [(200, b"wrong"), (404, b"right"), None])
async def test_a_wrong_answer_is_caught(planted: tuple[int, bytes] | None) -> None:
    async def answer(number: int, line: str, body: bytes) -> tuple[int, bytes] | None:
        return planted if number == 7 else (200, b"right")

    async with serving(answer) as port:
        tally = await ClosedLoop(closed(port, count=20, seconds=5)).run()
    assert tally.wrong == 1
    assert len(tally.faults) == 1


async def test_who_is_turned_away_is_neither_answered_nor_wronged() -> None:
    async def answer(number: int, line: str, body: bytes) -> tuple[int, bytes]:
        return (503, b"later") if number % 2 else (200, b"right")

    async with serving(answer) as port:
        tally = await ClosedLoop(closed(port, count=10, seconds=5)).run()
    assert (tally.answered, tally.refused, tally.wrong, tally.ended) == (5, 5, 0, 10)


async def test_an_id_given_twice_is_caught() -> None:
    async def answer(number: int, line: str, body: bytes) -> tuple[int, bytes]:
        return 202, b'{"id":"job_%040d"}' % min(number, 9)

    async with serving(answer) as port:
        tally = await ClosedLoop(closed(port, count=10, seconds=5, check="accepted")).run()
    assert tally.wrong == 1
    assert len(tally.ids) == 9
    assert "given twice" in tally.faults[0]


@pytest.mark.parametrize("spin", [True, False])
async def test_the_open_model_shows_a_stall_in_every_request_that_it_delays(spin: bool) -> None:
    async def answer(number: int, line: str, body: bytes) -> tuple[int, bytes]:
        if number == 10:
            await asyncio.sleep(0.2)  # the stall is the thing under test
        return 200, b"right"

    async with serving(answer) as port:
        exchange = Exchange(get("/x").decode(), "right")
        plan = Open(HOST, port, [exchange], connections=1, rate=200, seconds=0.5, spin=spin)
        tally = await OpenLoop(plan).run()
    assert (tally.answered, tally.wrong) == (100, 0)
    late = sum(count for slot, count in enumerate(tally.latencies.counts) if slot > 7 * 128)  # over 16 ms
    assert late > 20


class Api:
    """Jobs that end at the second look, as a system with waits would have it.

    lose: a job whose output is wrong. refuse: a request that is turned away.
    """

    def __init__(self, lose: int = 0, refuse: int = 0) -> None:
        self._refuse = refuse
        self._jobs: list[bytes] = []
        self._looks: dict[str, int] = {}
        self._lose = lose

    async def __call__(self, number: int, line: str, body: bytes) -> tuple[int, bytes]:
        if number and number == self._refuse:
            return 503, b"later"
        if line.startswith("POST"):
            self._jobs.append(body.partition(b'"input":')[2][:-1])
            return 202, self._job(len(self._jobs), "queued", b"null")
        id = int(line.split("job_")[1][:40])
        looks = self._looks[line] = self._looks.get(line, 0) + 1
        if looks == 1:
            return 200, self._job(id, "running", b"null")
        return 200, self._job(id, "succeeded", b'"lost"' if id == self._lose else self._jobs[id - 1])

    def _job(self, id: int, status: str, output: bytes) -> bytes:
        return b'{"id":"job_%040d","status":"%s","output":%s}' % (id, status.encode(), output)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("lose", [0, 3])
async def test_a_flow_of_jobs_checks_that_each_comes_back_with_its_own(lose: int, at_once: bool) -> None:
    async with serving(Api(lose)) as port:
        tally = await Flow(Jobs(HOST, port, ["sk"], "debug.echo", 2, 0.0, 0.1, at_once)).run()
    assert tally.ended >= tally.answered > 4
    assert tally.asked_again >= tally.ended
    assert tally.wrong == (1 if lose else 0)


async def test_a_job_whose_post_has_waited_for_its_end_is_not_asked_for() -> None:
    asked = list[str]()

    async def answer(number: int, line: str, body: bytes) -> tuple[int, bytes]:
        asked.append(line.partition(" ")[0])
        output = body.partition(b'"input":')[2][:-1]
        return 200, b'{"id":"job_%040d","status":"succeeded","output":%s}' % (number, output)

    async with serving(answer) as port:
        tally = await Flow(Jobs(HOST, port, ["sk"], "debug.echo", 2, 0.0, 0.1, at_once=True)).run()
    assert (tally.wrong, tally.asked_again) == (0, 0)
    assert tally.ended == len(asked) > 4
    assert set(asked) == {"POST"}


async def test_a_job_that_was_turned_away_is_submitted_again() -> None:
    async with serving(Api(refuse=1)) as port:
        tally = await Flow(Jobs(HOST, port, ["sk"], "debug.echo", 1, 0.0, 0.1)).run()
    assert (tally.ended, tally.refused, tally.wrong) == (1, 1, 0)


@pytest.mark.parametrize("refuse", [0, 2])
async def test_waiters_ask_again_and_are_all_answered(refuse: int) -> None:
    api, told = Api(refuse=refuse), list[str]()
    async with serving(api) as port:
        for _ in range(3):
            await api(0, "POST", b'{"input":{"n":1}}')
        ids = [f"job_{number:040d}" for number in (1, 2, 3)]
        plan = Waiters(HOST, port, "127.0.0.9", ["sk"], dict.fromkeys(ids, '{"n":1}'), 1_000, 60, 5)
        tally = await Crowd(plan).run(lambda: told.append("waiting"))
    assert told == ["waiting"]
    assert (tally.answered, tally.wrong, tally.asked_again) == (3, 0, 3)
    assert tally.refused == (1 if refuse else 0)
    assert sorted(tally.moments) == ids


async def test_a_waiter_that_is_never_answered_is_caught() -> None:
    never = asyncio.Event()

    async def answer(number: int, line: str, body: bytes) -> Any:
        await never.wait()

    async with serving(answer) as port:
        plan = Waiters(HOST, port, HOST, ["sk"], {"job_1": "1", "job_2": "1"}, 1_000, 60, 0.1)
        tally = await Crowd(plan).run(lambda: None)
        never.set()
    assert (tally.answered, tally.wrong) == (0, 1)
    assert "2 of 2" in tally.faults[0]
