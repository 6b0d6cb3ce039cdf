"""Waiting for a runner: in order, boundedly, and a restart's pause."""

import pytest

from services.worker.execution.backoff import AFTER_DEATH_SECONDS, restart_delay
from services.worker.execution.handle import Plan, RunnerHandle
from services.worker.execution.line import Line
from services.worker.execution.outcomes import Canceled, Interrupted
from services.worker.execution.settings import ExecutionSettings
from services.worker.execution.setup import Setup
from shared.clock import ManualClock
from shared.errors import Overloaded


@pytest.fixture
async def runner() -> RunnerHandle:
    """One without a process: the line only hands it over."""
    return RunnerHandle("solo", Plan(ExecutionSettings(handlers=()), {}, ManualClock()))


async def test_the_first_that_still_waits_is_served(runner: RunnerHandle) -> None:
    line = Line(limit=3)
    gave_up, canceled, waits = line.join(), line.join(), line.join()
    gave_up.cancel()
    canceled.set_result(Canceled())
    assert line.waiting
    assert line.serve(runner)
    assert waits.result() is runner
    assert not line.waiting
    assert not line.serve(runner)


async def test_who_gave_up_takes_no_room(runner: RunnerHandle) -> None:
    line = Line(limit=2)
    first, second = line.join(), line.join()
    with pytest.raises(Overloaded):
        line.join()
    second.cancel()
    third = line.join()
    assert line.serve(runner)
    assert first.done()
    assert not third.done()


async def test_those_who_are_dismissed_hear_why() -> None:
    line = Line(limit=2)
    waits = line.join()
    line.dismiss("no memory")
    assert waits.result() == Interrupted("no memory")


def test_the_pause_doubles_to_its_cap_and_is_jittered() -> None:
    assert restart_delay(0, 2.0, lambda: 1.0) == 0
    pauses = [restart_delay(failures, AFTER_DEATH_SECONDS, lambda: 1.0) for failures in range(1, 40)]
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert set(pauses[4:]) == {AFTER_DEATH_SECONDS}
    assert restart_delay(3, 2.0, lambda: 0.5) == 0.4


def test_a_setup_survives_its_argument() -> None:
    settings = ExecutionSettings(handlers=("a:b", "ü:c"), memory_bytes=5)
    setup = Setup.of(settings, "shared", worker_pid=1, socket_fd=2, mark_fd=-1)
    assert Setup.parse(setup.argument()) == setup
    assert setup.threads == settings.thread_slots + 2 * settings.abandoned
