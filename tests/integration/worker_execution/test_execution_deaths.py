"""Handlers that take their process with them, or hold it: the worker's own loop goes on, neighbours lose no attempt,
and the next runner comes up by itself.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.worker.execution.engine import Engine
from services.worker.execution.errors import RunnersDown
from services.worker.execution.outcomes import Failed, Lost, Succeeded, TimedOut
from tests.integration.worker_execution.running import Lag, engine, gone, task, until

GIB = 1_073_741_824
MAX_LAG = 1.0
"""Seconds. Far above what a busy machine does to the worker's loop, below what a blocked runner would."""


@pytest_asyncio.fixture(scope="module")
async def running() -> AsyncIterator[Engine]:
    async with engine(solo_slots=1, ping_seconds=0.25, unanswered_pings=6) as running:
        yield running


async def test_a_handler_that_blocks_the_loop_is_found_and_its_neighbours_finish(
    running: Engine, tmp_path: Path
) -> None:
    """R12."""
    async with Lag() as lag:
        names = ("wait.loop", "wait.thread")
        neighbours = [asyncio.create_task(running.run(task(n, tmp_path / "go", path=tmp_path / n))) for n in names]
        await until(lambda: all((tmp_path / name).exists() for name in names))
        blocked = await running.run(task("spin.loop", path=tmp_path / "begun"))
        assert isinstance(blocked, Lost)
        assert blocked.suspect
        assert "did not turn" in blocked.cause
        outcomes = await asyncio.gather(*neighbours)
        assert all(isinstance(outcome, Lost) for outcome in outcomes)
        suspects = [isinstance(outcome, Lost) and outcome.suspect for outcome in outcomes]
        assert suspects == [False, True]  # what runs in a thread may hold what a loop needs
        (tmp_path / "go").touch()
        again = await asyncio.gather(*(running.run(task(n, tmp_path / "go", path=tmp_path / n)) for n in names))
        assert again == [Succeeded(b'"waited"')] * 2
    assert lag.worst < MAX_LAG


async def test_a_blocked_loop_does_not_hold_up_a_time_limit(running: Engine, tmp_path: Path) -> None:
    asked = task("spin.loop", path=tmp_path / "begun", timeout_seconds=0.2)
    async with asyncio.timeout(1.4):  # below what it takes to see that the loop does not turn
        assert await running.run(asked) == TimedOut()
    innocent = await running.run(task("echo.loop"))  # sent to where the other still spins
    assert isinstance(innocent, Lost)
    assert not innocent.suspect


async def test_a_handler_that_holds_pythons_lock_in_c_is_ended(running: Engine, tmp_path: Path) -> None:
    """R12."""
    async with Lag() as lag:
        outcome = await running.run(task("clutch", path=tmp_path / "begun"))
    assert isinstance(outcome, Lost)
    assert outcome.suspect  # nothing else ran there
    assert lag.worst < MAX_LAG


@pytest.mark.parametrize(
    ("handler", "how"),
    [
        ("exit.loop", "exited with status 7"),
        ("exit.thread", "exited with status 7"),
        ("exit.process", "exited with status 7"),
        ("crash.loop", "SIGSEGV"),
        ("crash.process", "SIGSEGV"),
        ("garble", "sent a frame of"),
        ("disconnect", "closed its connection"),
    ],
)
async def test_a_handler_that_ends_its_process_is_lost_and_the_next_one_runs(
    running: Engine, handler: str, how: str
) -> None:
    outcome = await running.run(task(handler))
    assert isinstance(outcome, Lost)
    assert how in outcome.cause
    assert outcome.suspect
    assert isinstance(await running.run(task(f"echo.{'process' if 'process' in handler else 'loop'}")), Succeeded)


async def test_only_the_one_that_held_the_loop_is_suspected(running: Engine, tmp_path: Path) -> None:
    neighbour = asyncio.create_task(running.run(task("wait.loop", tmp_path / "go", path=tmp_path / "begun")))
    await until((tmp_path / "begun").exists)
    crashed = await running.run(task("crash.loop"))
    outcome = await neighbour
    assert isinstance(crashed, Lost)
    assert isinstance(outcome, Lost)
    assert (crashed.suspect, outcome.suspect) == (True, False)


async def test_nothing_is_ready_while_no_shared_runner_is_up(running: Engine) -> None:
    await running.run(task("exit.loop"))
    with pytest.raises(RunnersDown):
        await running.check()
    assert isinstance(await running.run(task("echo.thread")), Succeeded)  # waits for the next one
    await running.check()


async def test_a_fork_that_lives_on_does_not_hide_the_death_and_is_ended(running: Engine, tmp_path: Path) -> None:
    outcome = await running.run(task("fork.process", tmp_path / "pid"))
    assert isinstance(outcome, Lost)
    await until(lambda: gone(int((tmp_path / "pid").read_text())))


async def test_what_a_handler_started_ends_with_its_process(running: Engine, tmp_path: Path) -> None:
    asked = task("spawn.process", tmp_path / "pids", path=tmp_path / "begun")
    run = asyncio.create_task(running.run(asked))
    await until((tmp_path / "begun").exists)
    running.cancel(asked.run_id)
    await run
    await until(lambda: all(gone(int(pid)) for pid in (tmp_path / "pids").read_text().split()))


async def test_a_memory_hog_meets_the_limit_alone() -> None:
    async with engine(solo_slots=1, memory_bytes=2 * GIB) as limited:
        assert await limited.run(task("hog", 1_000_000)) == Succeeded(b"1000000")
        outcome = await limited.run(task("hog", 3 * GIB))
        assert isinstance(outcome, Failed)
        assert outcome.message == "MemoryError"
        assert isinstance(await limited.run(task("echo.process")), Succeeded)
