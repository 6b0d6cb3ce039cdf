"""Child processes: how they start, end, freeze, and that they never outlive whoever started them."""

import asyncio
import os
import signal
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.errors import StartFailedError
from deploy.local.guard import Guard
from deploy.local.process import ChildProcess, Command, run_to_end
from tests.integration.deploy.local_processes import ROOT, alive, all_gone, children_of, python, shell, until

FAMILY = "sleep 600 & echo $! > grandchild; echo started; wait"
STUBBORN = "trap '' TERM; echo started; while :; do sleep 0.05; done"


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    async with Guard() as guard:
        yield guard


async def started(process: ChildProcess) -> None:
    """Start it and wait for its first line."""
    await process.spawn()
    await until(lambda: process.log_tail() != [])


def grandchild(folder: Path) -> int:
    """The process that `FAMILY` started."""
    return int((folder / "grandchild").read_text())


async def test_stop_asks_politely_and_tells_how_it_ended(guard: Guard, tmp_path: Path) -> None:
    process = shell(
        "polite", "trap 'echo bye; exit 3' TERM; echo started; while :; do sleep 0.05; done", tmp_path, guard
    )
    await started(process)

    how = await process.stop()

    assert how
    assert (how.code, how.asked) == (3, True)
    assert process.log_tail() == ["started", "bye"]


async def test_who_ignores_sigterm_is_killed_after_the_deadline(guard: Guard, tmp_path: Path) -> None:
    process = shell("stubborn", STUBBORN, tmp_path, guard)
    await started(process)

    how = await process.stop(within=0.3)

    assert how
    assert str(how) == "signal SIGKILL"
    assert not process.running


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_its_own_children_end_with_it(guard: Guard, tmp_path: Path, way: str) -> None:
    process = shell("family", FAMILY, tmp_path, guard)
    await started(process)
    family = [process.pid, grandchild(tmp_path)]
    assert await alive(family) == set(family)

    await getattr(process, way)()

    await all_gone(family)


async def test_a_death_that_nobody_asked_for_is_told_apart(guard: Guard, tmp_path: Path) -> None:
    process = shell("victim", "echo started; exec sleep 600", tmp_path, guard)
    await started(process)

    os.kill(process.pid, signal.SIGSEGV)
    how = await process.wait()

    assert not how.asked
    assert str(how) == "signal SIGSEGV"


async def test_a_frozen_process_does_nothing_until_it_is_thawed(guard: Guard, tmp_path: Path) -> None:
    process = shell("ticking", "trap 'exit 0' TERM; while :; do echo tick; sleep 0.02; done", tmp_path, guard)
    await started(process)

    await process.freeze()
    size = process.command.log.stat().st_size
    await asyncio.sleep(0.3)  # the very thing under test: that time passes and nothing happens
    assert process.command.log.stat().st_size == size
    await process.thaw()

    await until(lambda: process.command.log.stat().st_size > size)
    await process.stop()


async def test_a_frozen_process_can_be_stopped(guard: Guard, tmp_path: Path) -> None:
    process = shell("frozen", "trap 'exit 4' TERM; echo started; while :; do sleep 0.02; done", tmp_path, guard)
    await started(process)
    await process.freeze()

    how = await process.stop(within=5)

    assert how
    assert how.code == 4


async def test_a_restarted_process_is_a_new_one_and_goes_on_in_its_log(guard: Guard, tmp_path: Path) -> None:
    process = shell("again", "echo $$; exec sleep 600", tmp_path, guard)
    await started(process)
    first = process.pid

    await process.restart()
    await until(lambda: len(process.log_tail()) == 2)

    assert process.log_tail() == [str(first), str(process.pid)]
    assert first != process.pid
    await process.kill()


async def test_the_log_of_an_earlier_run_is_emptied(guard: Guard, tmp_path: Path) -> None:
    (tmp_path / "fresh.log").write_text("old\n")

    await run_to_end(shell("fresh", "echo new", tmp_path, guard).command, guard, within=10)

    assert (tmp_path / "fresh.log").read_text() == "new\n"


async def test_the_last_words_of_a_process_that_dies_at_its_start_are_told(guard: Guard, tmp_path: Path) -> None:
    process = shell("unlucky", "echo no port for me >&2; exit 7", tmp_path, guard, ready=never)

    with pytest.raises(
        StartFailedError, match=r"(?s)unlucky ended while it was starting \(exit code 7\).*no port for me"
    ):
        await process.start()


async def test_a_process_that_never_answers_is_told(guard: Guard, tmp_path: Path) -> None:
    command = Command("mute", ("sleep", "600"), os.environ, tmp_path, tmp_path / "mute.log")
    process = ChildProcess(command, guard, never, ready_within=0.2)

    with pytest.raises(StartFailedError, match="mute did not answer within 0 s"):
        await process.start()

    assert process.running
    await process.kill()


async def test_a_program_that_is_not_there_is_told(guard: Guard, tmp_path: Path) -> None:
    command = Command("absent", ("no-such-program",), os.environ, tmp_path, tmp_path / "absent.log")

    with pytest.raises(StartFailedError, match=r"(?s)absent failed \(exit code 1\).*no-such-program: No such file"):
        await run_to_end(command, guard, within=10)


async def test_a_command_that_takes_too_long_is_ended(guard: Guard, tmp_path: Path) -> None:
    script = shell("slow", "echo $$ > pid; exec sleep 600", tmp_path, guard).command

    with pytest.raises(StartFailedError, match="slow was still running"):
        await run_to_end(script, guard, within=0.5)

    await all_gone([int((tmp_path / "pid").read_text())])


async def test_programs_get_back_the_signals_that_python_ignores(guard: Guard, tmp_path: Path) -> None:
    await run_to_end(shell("yes", "yes | head -n 1; echo ${PIPESTATUS:-ended}", tmp_path, guard).command, guard, 10)

    assert (tmp_path / "yes.log").read_text() == "y\nended\n"


async def test_nothing_is_started_without_a_guard(tmp_path: Path) -> None:
    async with Guard() as guard:
        assert guard._process
        os.kill(guard._process.pid, signal.SIGKILL)
        await guard._process.wait()
        with pytest.raises(StartFailedError, match="guard process has died"):
            await run_to_end(shell("orphan", "echo started", tmp_path, guard).command, guard, within=10)


STARTER = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from deploy.local.guard import Guard
    from tests.integration.deploy.local_processes import shell

    async def main(folder):
        async with Guard() as guard:
            processes = [shell(name, script, folder / name, guard) for name, script in SCRIPTS.items()]
            for process in processes:
                process.command.cwd.mkdir()
                await process.spawn()
            await processes[0].wait()

    SCRIPTS = {"family": %r, "stubborn": %r}
    asyncio.run(main(Path(sys.argv[1])))
""")


@pytest.mark.parametrize("also_the_guard", [False, True], ids=["runner", "runner and guard"])
async def test_nothing_outlives_a_starter_that_is_killed(tmp_path: Path, also_the_guard: bool) -> None:
    starter = await asyncio.create_subprocess_exec(*python("-c", STARTER % (FAMILY, STUBBORN), str(tmp_path)), cwd=ROOT)
    family, stubborn = tmp_path / "family", tmp_path / "stubborn"
    await until(lambda: (family / "family.log").exists() and "started" in (family / "family.log").read_text())
    await until(lambda: (stubborn / "stubborn.log").exists() and "started" in (stubborn / "stubborn.log").read_text())
    children = list(await children_of(starter.pid))
    assert len(children) == 3  # the guard and two programs

    if also_the_guard:
        os.kill(min(children), signal.SIGKILL)  # it was started first
    starter.kill()
    await starter.wait()

    # Without the guard only the kernel acts, and it does not reach grandchildren.
    await all_gone(children if also_the_guard else [*children, grandchild(family)])
    if also_the_guard:
        os.kill(grandchild(family), signal.SIGKILL)


async def never() -> bool:
    """A probe that is never satisfied."""
    return False
