"""What handlers return and raise is an outcome: in the loop, in a thread, in a process, and when they cannot say it."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from services.worker.execution.engine import Engine
from services.worker.execution.errors import UnknownHandler
from services.worker.execution.outcomes import Failed, Rejected, RetryRequested, Succeeded
from services.worker.execution.task import Report
from shared.models.job import ErrorCode
from tests.integration.worker_execution.running import engine, task, until

EVERYWHERE = pytest.mark.parametrize("where", ["loop", "thread", "process"])


@pytest_asyncio.fixture(scope="module")
async def running() -> AsyncIterator[Engine]:
    async with engine(output_bytes=100_000, input_bytes=50_000, solo_slots=1) as running:
        yield running


@EVERYWHERE
async def test_a_result_comes_back_as_rendered(running: Engine, where: str) -> None:
    outcome = await running.run(task(f"echo.{where}", "grüße"))
    assert outcome == Succeeded(orjson.dumps({"text": "grüße", "path": ""}))


async def test_many_at_once_each_get_their_own_result(running: Engine) -> None:
    texts = [str(number) for number in range(500)]
    places = ["loop", "thread", "loop", "loop", "process"]
    tasks = [task(f"echo.{places[number % 5]}", text) for number, text in enumerate(texts)]
    outcomes = await asyncio.gather(*map(running.run, tasks))
    assert [orjson.loads(outcome.output)["text"] for outcome in outcomes if isinstance(outcome, Succeeded)] == texts


async def test_a_handler_knows_its_attempt(running: Engine) -> None:
    asked = task("context", attempt=2, max_attempts=4, fence="f", job_id="job_1", deadline_at=1_900_000_000_123)
    outcome = await running.run(asked)
    assert isinstance(outcome, Succeeded)
    said = orjson.loads(outcome.output)
    deadline = datetime.datetime.fromisoformat(said.pop("deadline"))
    assert round(deadline.timestamp() * 1_000) == 1_900_000_000_123
    assert said == {"id": "job_1", "attempt": 2, "max_attempts": 4, "fence": "f", "cancelled": False}


async def test_retry_and_reject_are_what_the_handler_said(running: Engine) -> None:
    assert await running.run(task("retry")) == RetryRequested(12.5, "the other side is busy")
    assert await running.run(task("reject.process")) == Rejected("this will never work")
    assert await running.run(task("reject.group")) == Rejected("said by a task of a group")


@EVERYWHERE
async def test_an_input_that_does_not_fit_is_rejected_without_being_quoted(running: Engine, where: str) -> None:
    outcome = await running.run(task(f"echo.{where}", input=b'{"text": {"canary": 1}}'))
    assert isinstance(outcome, Rejected)
    assert "/text" in outcome.reason
    assert "canary" not in outcome.reason


async def test_an_input_beyond_the_limit_is_rejected(running: Engine) -> None:
    assert isinstance(await running.run(task("echo.loop", "x" * 60_000)), Rejected)


async def test_an_attempt_that_may_take_longer_than_can_be_waited_for_is_rejected() -> None:
    async with engine(longest_seconds=540.0) as pushed:
        assert isinstance(await pushed.run(task("echo.loop", "hi", timeout_seconds=540.0)), Succeeded)
        outcome = await pushed.run(task("echo.loop", "hi", timeout_seconds=541.0))
        assert outcome == Rejected("An attempt may take 541 s; at most 540 s by push")


async def test_an_exception_is_a_failure_with_its_type_and_text(running: Engine) -> None:
    outcome = await running.run(task("fail.value", "apples"))
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.message, outcome.retryable) == (
        ErrorCode.HANDLER_ERROR,
        "ValueError: no apples here",
        True,
    )


async def test_failures_of_one_place_share_a_fingerprint(running: Engine) -> None:
    asked = [task("fail.value", "apples"), task("fail.value", "pears"), task("fail.key", "apples")]
    outcomes = await asyncio.gather(*map(running.run, asked))
    one, same, other = (outcome.fingerprint for outcome in outcomes if isinstance(outcome, Failed))
    assert one == same != other
    assert len(one) == 16


@EVERYWHERE
@pytest.mark.parametrize(
    ("raised", "message"),
    [
        ("mute", "Mute (its text cannot be shown)"),
        ("exit", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt"),
        ("generator", "GeneratorExit"),
        ("stop", "StopIteration: 1"),
        ("cancelled", "CancelledError"),
        ("memory", "MemoryError"),
        ("surrogate", "RuntimeError: ? lone"),
    ],
)
async def test_whatever_is_raised_is_a_failure(running: Engine, where: str, raised: str, message: str) -> None:
    outcome = await running.run(task(f"raise.{where}", raised))
    assert isinstance(outcome, Failed)
    if raised == "stop" and where == "loop":
        message = "RuntimeError: coroutine raised StopIteration"  # by Python itself (PEP 479)
    assert (outcome.code, outcome.message) == (ErrorCode.HANDLER_ERROR, message)


async def test_a_long_message_is_cut_to_two_kibibytes(running: Engine) -> None:
    outcome = await running.run(task("raise.loop", "long"))
    assert isinstance(outcome, Failed)
    assert outcome.message.startswith("RuntimeError: éé")
    assert 2_000 < len(outcome.message.encode()) <= 2_048


async def test_a_logger_that_fails_does_not_hide_the_failure(running: Engine) -> None:
    outcome = await running.run(task("log.process"))
    assert isinstance(outcome, Failed)
    assert outcome.message == "ValueError: unlogged"


async def test_a_task_that_tries_to_end_the_runner_ends_itself_only(running: Engine, tmp_path: Path) -> None:
    neighbour = asyncio.create_task(running.run(task("wait.loop", tmp_path / "go", path=tmp_path / "begun")))
    await until((tmp_path / "begun").exists)
    assert await running.run(task("stray")) == Succeeded(b'"SystemExit"')
    (tmp_path / "go").touch()
    assert await neighbour == Succeeded(b'"waited"')


@pytest.mark.parametrize("handler", ["misfit", "unsayable"])
async def test_an_output_that_does_not_fit_is_a_failure_not_to_be_retried(running: Engine, handler: str) -> None:
    outcome = await running.run(task(handler))
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == (ErrorCode.INVALID_OUTPUT, False)


async def test_an_output_beyond_the_limit_is_a_failure_and_stays_where_it_is(running: Engine) -> None:
    """R16."""
    within = await running.run(task("huge", 100_000 - 2))
    assert isinstance(within, Succeeded)
    assert len(within.output) == 100_000
    for size in (100_000 - 1, 50_000_000):
        outcome = await running.run(task("huge", size))
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.retryable) == (ErrorCode.OUTPUT_TOO_LARGE, False)
        assert str(size + 2) in outcome.message


async def test_an_unknown_handler_is_refused(running: Engine) -> None:
    with pytest.raises(UnknownHandler):
        await running.run(task("nobody"))


async def test_two_runs_cannot_have_one_name(running: Engine, tmp_path: Path) -> None:
    first = task("wait.loop", tmp_path / "go", path=tmp_path / "begun")
    waiting = asyncio.create_task(running.run(first))
    await until((tmp_path / "begun").exists)
    with pytest.raises(ValueError, match=first.run_id):
        await running.run(first)
    (tmp_path / "go").touch()
    await waiting


@EVERYWHERE
async def test_reports_come_in_order_and_the_last_before_the_outcome(running: Engine, where: str) -> None:
    reports: list[Report] = []
    assert await running.run(task(f"tell.{where}"), on_report=reports.append) == Succeeded(b'"told"')
    shown = [report.progress for report in reports if report.progress is not None]
    assert 1 <= len(shown) <= 3  # of a thousand, told within a moment
    assert (shown[-1].done, shown[-1].total, shown[-1].message) == (999, 1_000, "step 999")
    chunks = [orjson.loads(chunk)["piece"] for report in reports for chunk in report.chunks]
    assert chunks == list(range(0, 1_000, 100))
    assert sum(report.dropped for report in reports) == 0


async def test_a_report_does_not_wait_for_the_end(running: Engine, tmp_path: Path) -> None:
    heard = asyncio.Event()
    told = asyncio.create_task(running.run(task("tell.early", path=tmp_path / "go"), on_report=lambda _: heard.set()))
    async with asyncio.timeout(5):
        await heard.wait()
    assert not told.done()
    (tmp_path / "go").touch()
    assert await told == Succeeded(b'"told"')


async def test_more_chunks_than_anyone_can_take_give_way_oldest_first(running: Engine) -> None:
    reports: list[Report] = []
    assert await running.run(task("flood"), on_report=reports.append) == Succeeded(b'"flooded"')
    numbers = [orjson.loads(chunk)[0] for report in reports for chunk in report.chunks]
    dropped = sum(report.dropped for report in reports)
    assert dropped > 0
    assert dropped + len(numbers) == 3_000
    assert numbers == sorted(numbers)
    assert numbers[-1] == 2_999


async def test_a_receiver_of_reports_that_raises_harms_nobody(running: Engine) -> None:
    loop = asyncio.get_running_loop()
    raised: list[object] = []
    loop.set_exception_handler(lambda _loop, context: raised.append(context["exception"]))
    try:
        outcome = await running.run(task("tell.loop"), on_report=lambda _: [].pop())
    finally:
        loop.set_exception_handler(None)
    assert outcome == Succeeded(b'"told"')
    assert any(isinstance(each, IndexError) for each in raised)
    await running.check()
