"""`sluice.testing.run`: an attempt goes the whole way from JSON to JSON, and what the handler raises comes out."""

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from sluice import Handlers, InvalidInput, InvalidOutput, JobContext, Reject, Retry
from sluice.reports import Progress
from sluice.testing import Run, run


@dataclass
class Amount:
    value: int


handlers = Handlers()
stopped = threading.Event()


@handlers.on("amount.double", run_in="process")
def double(input: Amount) -> Amount:
    return Amount(input.value * 2)


@handlers.on("amount.where", run_in="thread")
def where(input: Amount) -> str:
    return threading.current_thread().name


@handlers.on("amount.wrong", run_in="thread")
def wrong(input: Amount) -> int:
    return "many"  # type: ignore[return-value]


@handlers.on("amount.describe")
async def describe(input: Amount, job: JobContext) -> dict[str, str | int | bool]:
    for done in range(input.value):
        job.progress(done + 1, input.value, "counting")
        job.emit({"step": done + 1})
    left = job.deadline - datetime.now(UTC)
    return {
        "id": job.id,
        "attempt": job.attempt,
        "of": job.max_attempts,
        "fence": job.fence,
        "cancelled": job.cancelled,
        "in time": timedelta() < left <= timedelta(seconds=60),
    }


@handlers.on("amount.retry")
async def retry(input: Amount) -> None:
    raise Retry(after=input.value, reason="not yet")


@handlers.on("amount.reject", run_in="thread")
def reject(input: Amount) -> None:
    raise Reject("never")


@handlers.on("amount.forever", timeout=0.01)
async def forever(input: Amount) -> None:
    await asyncio.Event().wait()


@handlers.on("amount.stubborn", timeout=0.01, run_in="thread")
def stubborn(input: Amount, job: JobContext) -> None:
    while not job.cancelled:
        pass
    stopped.set()


async def test_from_json_to_json() -> None:
    expected = Run({"value": 8}, (), ())

    assert await run("amount.double", {"value": 4}, handlers=handlers) == expected
    assert await run(handlers["amount.double"], {"value": 4}) == expected
    assert await run(handlers["amount.double"], b'{"value": 4}') == expected
    assert await run(handlers["amount.double"], Amount(4)) == expected


async def test_reports_are_all_kept() -> None:
    outcome = await run("amount.describe", {"value": 2}, handlers=handlers)

    assert outcome.progress == (Progress(1, 2, "counting"), Progress(2, 2, "counting"))
    assert outcome.chunks == ({"step": 1}, {"step": 2})


async def test_the_context_is_that_of_a_job() -> None:
    first = await run(handlers["amount.describe"], {"value": 0})
    other = await run(handlers["amount.describe"], {"value": 0}, id="job_7", attempt=3, cancelled=lambda: True)

    told = {"id": "job_test", "attempt": 1, "of": 5, "fence": "fence_test", "cancelled": False, "in time": True}
    assert first.output == told
    assert other.output == told | {"id": "job_7", "attempt": 3, "cancelled": True}


async def test_the_deadline_can_be_chosen() -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    assert not (await run(handlers["amount.describe"], {"value": 0}, deadline=past)).output["in time"]


async def test_plain_functions_run_in_a_thread() -> None:
    assert (await run(handlers["amount.where"], {"value": 0})).output != threading.main_thread().name


async def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="/value: Field required"):
        await run(handlers["amount.double"], {})
    with pytest.raises(InvalidInput, match="NaN"):
        await run(handlers["amount.double"], {"value": 1, "more": float("nan")})
    with pytest.raises(InvalidOutput, match="valid integer"):
        await run(handlers["amount.wrong"], {"value": 1})


async def test_outcomes_come_out() -> None:
    with pytest.raises(Retry, match="not yet") as caught:
        await run(handlers["amount.retry"], {"value": 3})
    assert caught.value.after_seconds == 3.0
    with pytest.raises(Reject, match="never"):
        await run(handlers["amount.reject"], {"value": 3})


async def test_an_attempt_ends_at_its_timeout() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(TimeoutError):
        await run(handlers["amount.forever"], {"value": 0})
    assert loop.time() - before < 3


async def test_a_thread_is_told_that_its_time_is_over() -> None:
    with pytest.raises(TimeoutError):
        await run(handlers["amount.stubborn"], {"value": 0})
    assert await asyncio.to_thread(stopped.wait, 10)


@pytest.mark.parametrize("among", [None, Handlers(), handlers])
async def test_a_name_must_be_known(among: Handlers | None) -> None:
    with pytest.raises(LookupError, match=r"no handler 'amount\.none'"):
        await run("amount.none", {}, handlers=among)
