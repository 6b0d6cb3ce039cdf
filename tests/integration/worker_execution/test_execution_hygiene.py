"""What runners are like, seen from inside and from outside: no secret, no descriptor, no output where it does not
belong, and no life of their own.
"""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import orjson
import pytest

from services.worker.execution.outcomes import Succeeded
from tests.integration.worker_execution.running import children, engine, gone, task, until


async def test_a_process_has_no_secret_no_descriptor_and_no_input_of_the_worker() -> None:
    environ = {**os.environ, "SLUICE_ID_KEYS": "canary", "REDIS_URL": "redis://:canary@cache", "OURS": "seen"}
    async with engine(environ=environ, solo_slots=1) as running:
        outcome = await running.run(task("surroundings"))
    assert isinstance(outcome, Succeeded)
    seen = orjson.loads(outcome.output)
    assert b"canary" not in outcome.output
    assert seen["environ"]["OURS"] == "seen"
    assert seen["session"] is True
    assert seen["stdin"] == ""
    assert seen["kept_by_programs"] == []
    assert seen["terminated"] is True  # what handlers start heeds SIGTERM
    assert gone(seen["pid"])


async def test_stop_signals_leave_the_decision_to_the_worker(tmp_path: Path) -> None:
    async with engine(solo_slots=1) as running:
        run = asyncio.create_task(running.run(task("wait.process", tmp_path / "go", path=tmp_path / "begun")))
        await until((tmp_path / "begun").exists)
        pid = int((await running.run(task("pid"))).output)  # type: ignore[union-attr]
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, number)
        assert await running.run(task("pid")) == Succeeded(str(pid).encode())
        (tmp_path / "go").touch()
        assert isinstance(await run, Succeeded)


async def lone_worker(*arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "tests.integration.worker_execution.lone_worker", *arguments)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize("handler", ["spin.loop", "clutch"])
async def test_a_killed_worker_leaves_no_runner_behind(tmp_path: Path, handler: str) -> None:
    process = await lone_worker("stuck", str(tmp_path), handler)
    await until(lambda: (tmp_path / "begun").exists() and (tmp_path / "solo").exists())
    runners = children(process.pid)
    assert len(runners) == 2
    assert int((tmp_path / "shared").read_text()) in runners
    process.kill()
    try:
        await until(lambda: all(map(gone, runners)))
    finally:
        for pid in runners:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.communicate()


async def test_a_worker_that_was_frozen_does_not_blame_its_runner() -> None:
    process = await lone_worker("steady")
    assert process.stdin is not None
    assert process.stdout is not None
    said: list[bytes] = []
    async with asyncio.timeout(30):
        for frozen in (False, True):
            if frozen:
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(1)  # the time is what matters: several times what a runner may be silent
                process.send_signal(signal.SIGCONT)
            process.stdin.write(b"\n")
            said.append(await process.stdout.readline())
        process.stdin.close()
        await process.communicate()
    assert said[0].startswith(b"Succeeded")
    assert said[0] == said[1]


async def test_what_handlers_print_goes_to_standard_error_line_by_line() -> None:
    process = await lone_worker("noise")
    async with asyncio.timeout(20):
        stdout, stderr = await process.communicate()
    assert stdout == b"""Succeeded(output=b'"printed"')\n"""
    lines = stderr.splitlines()
    assert lines.count(b"a line") == 2
    assert b"a raw line" in lines
    assert b"a line of a child" in lines
    long = [line for line in lines if line.startswith(b"yyy")]
    assert len(long) == 2
    assert all(line.endswith(b"...[cut]") and len(line) < 4_096 for line in long)
