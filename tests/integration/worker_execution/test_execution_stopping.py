"""Time limits, cancelling and leaving: handlers that stop when told, that do not, and that cannot."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.worker.execution.engine import Engine
from services.worker.execution.outcomes import Canceled, Interrupted, Lost, Succeeded, TimedOut
from services.worker.execution.task import Task
from shared.clock import SystemClock
from shared.errors import Overloaded
from tests.integration.worker_execution.running import Lag, children, engine, gone, task, until


@pytest_asyncio.fixture(scope="module")
async def running() -> AsyncIterator[Engine]:
    async with engine(solo_slots=2, thread_slots=20, abandoned=100) as running:
        yield running


async def begun(running: Engine, asked: Task, begun: Path) -> "asyncio.Task[object]":
    """Run it, and return when its handler has begun."""
    run = asyncio.create_task(running.run(asked))
    await until(begun.exists)
    return run


async def test_a_loop_handler_out_of_time_is_cancelled(running: Engine, tmp_path: Path) -> None:
    asked = task("heed.loop", tmp_path / "told", path=tmp_path / "begun", timeout_seconds=0.3)
    assert await running.run(asked) == TimedOut()
    assert (tmp_path / "told").read_text() == "cancelled: True"


async def test_a_thread_handler_out_of_time_can_see_it(running: Engine, tmp_path: Path) -> None:
    asked = task("heed.thread", tmp_path / "told", path=tmp_path / "begun", timeout_seconds=0.3)
    assert await running.run(asked) == TimedOut()  # what it returned in its grace counts no more
    assert (tmp_path / "told").exists()


async def test_a_process_handler_out_of_time_is_killed(running: Engine, tmp_path: Path) -> None:
    began = time.monotonic()
    asked = task("spin.process", path=tmp_path / "begun", timeout_seconds=0.3)
    assert await running.run(asked) == TimedOut()
    assert (tmp_path / "begun").exists()
    assert time.monotonic() - began < 5
    assert await running.run(task("echo.process")) == Succeeded(b'{"text":"","path":""}')


async def test_the_time_limit_does_not_count_the_start_of_a_process(tmp_path: Path) -> None:
    async with engine(solo_slots=1) as fresh:
        (tmp_path / "go").touch()
        asked = task("wait.process", tmp_path / "go", path=tmp_path / "begun", timeout_seconds=0.1)
        assert isinstance(await fresh.run(asked), Succeeded)


async def test_a_thread_that_never_ends_is_abandoned_after_its_grace(running: Engine, tmp_path: Path) -> None:
    began = time.monotonic()
    outcome = await running.run(task("spin.thread", path=tmp_path / "begun", timeout_seconds=0.2))
    assert outcome == TimedOut()
    assert 0.3 < time.monotonic() - began < 3
    assert isinstance(await running.run(task("echo.thread")), Succeeded)


async def test_a_late_result_is_discarded(running: Engine, tmp_path: Path) -> None:
    """R13."""
    asked = task("deaf.loop", tmp_path / "go", path=tmp_path / "begun", timeout_seconds=0.1)
    assert await running.run(asked) == TimedOut()
    (tmp_path / "go").touch()  # now it returns, to nobody
    again = task("deaf.loop", tmp_path / "go", path=tmp_path / "again", run_id=asked.run_id)
    assert await running.run(again) == Succeeded(b'"late"')


@pytest.mark.parametrize("handler", ["heed.loop", "heed.thread", "spin.process", "spin.thread", "deaf.loop"])
async def test_a_cancelled_run_stops_soon(running: Engine, tmp_path: Path, handler: str) -> None:
    asked = task(handler, tmp_path / "told", path=tmp_path / "begun")
    run = await begun(running, asked, tmp_path / "begun")
    assert running.cancel(asked.run_id)
    async with asyncio.timeout(3):
        assert await run == Canceled()
    assert not running.cancel(asked.run_id)


async def test_a_run_cancelled_before_its_first_step_ends_without_a_grace(tmp_path: Path) -> None:
    async with engine(grace_seconds=30) as running:
        before = await pid(running)
        asked = task("heed.loop", tmp_path / "told", path=tmp_path / "begun")

        async def cancel() -> bool:
            return running.cancel(asked.run_id)

        async with asyncio.timeout(5):  # both in one turn of the loop, so that the runner hears of both at once
            outcome, cancelled = await asyncio.gather(running.run(asked), cancel())
        assert cancelled
        assert outcome == Canceled()
        assert await pid(running) == before


async def test_a_run_that_waits_for_a_slot_can_be_cancelled(tmp_path: Path) -> None:
    async with engine(thread_slots=1) as running:
        first = task("wait.thread", tmp_path / "go", path=tmp_path / "begun")
        held = await begun(running, first, tmp_path / "begun")
        waits, follows = task("echo.thread"), task("echo.thread")
        waiting = [asyncio.create_task(running.run(each)) for each in (waits, follows)]
        await asyncio.sleep(0)
        assert running.cancel(waits.run_id)
        assert await waiting[0] == Canceled()
        assert not waiting[1].done()
        (tmp_path / "go").touch()
        assert isinstance(await held, Succeeded)
        assert isinstance(await waiting[1], Succeeded)


async def test_a_caller_that_is_cancelled_waits_for_nothing_and_frees_its_slot(tmp_path: Path) -> None:
    async with engine(thread_slots=1, abandoned=2, grace_seconds=30) as running:
        run = await begun(running, task("spin.thread", path=tmp_path / "begun"), tmp_path / "begun")
        waiting = asyncio.create_task(running.run(task("echo.thread")))
        await asyncio.sleep(0)
        for each in (run, waiting):
            each.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait({run, waiting})
        assert run.cancelled()
        assert waiting.cancelled()
        assert isinstance(await running.run(task("echo.thread")), Succeeded)


async def test_more_than_may_wait_are_refused(tmp_path: Path) -> None:
    async with engine(thread_slots=1, waiting=1) as running:
        held = await begun(running, task("wait.thread", tmp_path / "go", path=tmp_path / "begun"), tmp_path / "begun")
        waiting = asyncio.create_task(running.run(task("echo.thread")))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await running.run(task("echo.thread"))
        (tmp_path / "go").touch()
        assert isinstance(await held, Succeeded)
        assert isinstance(await waiting, Succeeded)


async def test_a_runner_with_too_many_abandoned_threads_is_replaced(tmp_path: Path) -> None:
    async with engine(thread_slots=2, abandoned=2, grace_seconds=0.05) as running:
        neighbour = await begun(
            running, task("wait.thread", tmp_path / "go", path=tmp_path / "begun"), tmp_path / "begun"
        )
        worn_out = (await pid(running), [task("spin.thread", path=tmp_path / str(n)) for n in range(2)])
        for each in worn_out[1]:
            run = asyncio.create_task(running.run(each))
            await until(Path(tmp_path / str(worn_out[1].index(each))).exists)
            running.cancel(each.run_id)
            assert await run == Canceled()
        while await pid(running) == worn_out[0]:  # new work goes to the new one
            await asyncio.sleep(0.01)
        assert not gone(worn_out[0])  # the old one goes on with what it has
        (tmp_path / "go").touch()
        assert await neighbour == Succeeded(b'"waited"')
        await until(lambda: gone(worn_out[0]))  # and is ended after the last
        assert isinstance(await running.run(task("echo.thread")), Succeeded)


async def pid(running: Engine) -> int:
    outcome = await running.run(task("pid"))
    assert isinstance(outcome, Succeeded)
    return int(outcome.output)


async def test_a_drain_lets_running_work_finish_and_starts_nothing(tmp_path: Path) -> None:
    async with engine(thread_slots=1, solo_slots=1) as running:
        held = await begun(running, task("wait.thread", tmp_path / "go", path=tmp_path / "begun"), tmp_path / "begun")
        waiting = asyncio.create_task(running.run(task("echo.thread")))
        await asyncio.sleep(0)
        drain = asyncio.create_task(running.drain(10))
        assert isinstance(await waiting, Interrupted)
        assert isinstance(await running.run(task("echo.loop")), Interrupted)
        assert not drain.done()
        (tmp_path / "go").touch()
        await drain
        assert await held == Succeeded(b'"waited"')


async def test_a_runner_that_dies_during_a_drain_is_not_started_again(tmp_path: Path) -> None:
    async with engine(solo_slots=1) as running:
        before = set(children(os.getpid()))
        names = ("wait.loop", "wait.process")
        runs = [
            await begun(running, task(name, tmp_path / "go", path=tmp_path / name), tmp_path / name) for name in names
        ]
        drain = asyncio.create_task(running.drain(10))
        await asyncio.sleep(0)
        killed = {int((tmp_path / name).read_text()) for name in names}
        for each in killed:
            os.kill(each, signal.SIGKILL)
        assert [type(outcome) for outcome in await asyncio.gather(*runs)] == [Lost, Lost]
        await drain
        await asyncio.sleep(0.1)  # there is no condition for what must not happen
        assert set(children(os.getpid())) <= before - killed


async def test_closing_interrupts_what_still_runs_and_leaves_no_process(tmp_path: Path) -> None:
    async with engine(solo_slots=1) as running:
        shared = await pid(running)
        names = ("spin.process", "deaf.loop", "spin.thread")
        runs = [
            await begun(running, task(name, tmp_path / "never", path=tmp_path / name), tmp_path / name)
            for name in names
        ]
        began = time.monotonic()
        await running.drain(0.1)
        async with Lag() as lag:
            await running.close()
        assert time.monotonic() - began < 3
        assert all(isinstance(outcome, Interrupted) for outcome in await asyncio.gather(*runs))
        assert gone(shared)
        assert lag.worst < 1


async def test_closing_before_a_process_is_up_interrupts_its_task() -> None:
    async with engine(solo_slots=1) as running:
        run = asyncio.create_task(running.run(task("echo.process")))
        await asyncio.sleep(0)
        await running.close()
        assert isinstance(await run, Interrupted)


async def test_no_more_have_a_seat_than_run_alone_at_once() -> None:
    async with engine(solo_slots=2) as running, running.seat() as first:
        third = running.seat()
        async with running.seat() as second:
            waiting = asyncio.create_task(third.__aenter__())
            await asyncio.sleep(0)
            assert (first, second, waiting.done()) == (True, True, False)
        assert await waiting
        await third.__aexit__(None, None, None)


async def test_who_waits_for_a_seat_hears_at_once_that_the_worker_leaves() -> None:
    async with engine(solo_slots=1) as running, running.seat():
        waiting = [asyncio.create_task(_seated(running)) for _ in range(3)]
        await asyncio.sleep(0)
        await running.drain(1.0)
        assert await asyncio.gather(*waiting) == [False] * 3


async def _seated(running: Engine) -> bool:
    async with running.seat() as seated:
        return seated


async def test_a_task_alone_takes_a_process_whatever_its_handler_asks_for(running: Engine, tmp_path: Path) -> None:
    assert running.place("spin.loop") == "loop"
    assert running.place("spin.loop", alone=True) == "process"
    async with Lag() as lag:
        asked = task("spin.loop", path=tmp_path / "begun", timeout_seconds=0.3, alone=True)
        assert await running.run(asked) == TimedOut()
    assert lag.worst < 1
    for handler in ("echo.loop", "echo.thread"):
        assert isinstance(await running.run(task(handler, alone=True)), Succeeded)
    shared = await pid(running)
    for handler in ("exit.loop", "exit.thread"):
        assert isinstance(await running.run(task(handler, alone=True)), Lost)
    assert await pid(running) == shared


class Freezing(SystemClock):
    """A clock on which a freeze can be played: it goes on for so long, and nothing else does."""

    def __init__(self) -> None:
        self.frozen_seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.frozen_seconds


async def test_what_its_runner_was_not_told_before_a_freeze_is_not_begun_after_it(tmp_path: Path) -> None:
    """R6: others may have taken it over meanwhile, and ended it."""
    clock = Freezing()
    async with engine(clock=clock) as running:
        asked = [task("heed.loop", tmp_path / "told", path=tmp_path / f"begun-{number}") for number in range(3)]
        runs = [asyncio.create_task(running.run(each)) for each in asked]
        await asyncio.sleep(0)  # they have begun, and the turn of the loop is not over
        clock.frozen_seconds = 20.0
        outcomes = await asyncio.gather(*runs)
        assert all(isinstance(outcome, Interrupted) for outcome in outcomes)
        assert await running.run(task("echo.loop")) == Succeeded(b'{"text":"","path":""}')
        assert not any(os.scandir(tmp_path))


async def test_a_run_cancelled_in_the_turn_in_which_it_began_does_not_go_on(running: Engine, tmp_path: Path) -> None:
    told, begun = tmp_path / "told", tmp_path / "begun"
    asked = task("heed.loop", told, path=begun)
    run = asyncio.create_task(running.run(asked))
    await asyncio.sleep(0)
    assert running.cancel(asked.run_id)
    assert await run == Canceled()
    assert await running.run(task("echo.loop")) == Succeeded(b'{"text":"","path":""}')
    assert told.exists() or not begun.exists()
