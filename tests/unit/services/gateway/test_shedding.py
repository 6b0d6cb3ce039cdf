"""Turning away what the loop cannot keep up with, in the order of worth, and counting how often it stood still."""

from itertools import count

import orjson
import pytest
from aiohttp.test_utils import make_mocked_request

from services.gateway.http.shedding import STALL_MILLISECONDS, TICK_SECONDS, Lateness, Worth
from shared.clock import ManualClock
from shared.lifecycle import running

LONG = {"Prefer": "wait=10"}


class LateClock(ManualClock):
    """Wakes its sleepers late, as a busy loop does."""

    late_seconds = 0.0

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + self.late_seconds)


async def late(milliseconds: float, ticks: int) -> tuple[Lateness, int]:
    """What is measured where every one of so many ticks is late, and how often that was a stall."""
    clock, stalls = LateClock(), count()
    clock.late_seconds = milliseconds / 1_000
    lateness = Lateness(clock, lambda: next(stalls))
    async with running(lateness.measure()):
        await clock.advance((TICK_SECONDS + clock.late_seconds) * ticks + 1e-6)
    return lateness, next(stalls)


async def test_in_time_nothing_is_refused_or_counted() -> None:
    lateness, stalls = await late(0, 100)
    assert lateness.refuse(make_mocked_request("GET", "/v1/jobs/x", LONG)) is None
    assert lateness.milliseconds == pytest.approx(0, abs=1e-6)
    assert stalls == 0


@pytest.mark.parametrize(("milliseconds", "stalls"), [(STALL_MILLISECONDS - 1, 0), (STALL_MILLISECONDS + 1, 7)])
async def test_each_stall_is_counted(milliseconds: float, stalls: int) -> None:
    assert (await late(milliseconds, 7))[1] == stalls


@pytest.mark.parametrize(
    ("worth", "refused"),
    [(Worth.WAITING, ("wait",)), (Worth.READING, ("wait", "read")), (Worth.ACCEPTING, ("wait", "read", "accept"))],
)
async def test_waiting_is_given_up_first_and_accepting_last(worth: Worth, refused: tuple[str, ...]) -> None:
    lateness, _ = await late(worth + 1, 100)
    asked = {
        "wait": make_mocked_request("GET", "/v1/jobs/x", LONG),
        "read": make_mocked_request("GET", "/v1/jobs/x"),
        "accept": make_mocked_request("POST", "/v1/jobs"),
    }
    problems = {name: lateness.refuse(request) for name, request in asked.items()}
    assert tuple(name for name, problem in problems.items() if problem) == refused
    assert all(problem.type.status == 503 for problem in problems.values() if problem)


async def test_a_refused_job_is_said_not_to_be_accepted() -> None:
    lateness, _ = await late(Worth.ACCEPTING + 1, 100)
    problem = lateness.refuse(make_mocked_request("POST", "/v1/jobs"))
    assert problem is not None
    assert orjson.loads(problem.reply("req").body or b"")["accepted"] is False
