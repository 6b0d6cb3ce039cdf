"""`make run` as its user meets it: what it prints, that the printed command works, and every way in which it ends."""

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from deploy.local.backends import FIRESTORE, PUBSUB, REDIS, Backends, Kind
from deploy.local.ports import LOOPBACK, choose_port
from tests.integration.deploy.local_processes import ROOT, all_gone, children_of, python, until

KEY = "sk_test_0123456789abcdef"
START_SECONDS = 60.0
END_SECONDS = 30.0


class Run:
    """A runner started as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        assert process.stdout
        assert process.stderr
        self.process = process
        self.port = port
        self.errors: list[str] = []
        self._stdout = process.stdout
        self._reading = asyncio.create_task(self._read(process.stderr))

    async def line(self) -> str:
        """The next line of its standard output, empty at the end."""
        async with asyncio.timeout(START_SECONDS):
            return (await self._stdout.readline()).decode().rstrip("\n")

    async def ready(self) -> str:
        """The line that says so. Fails with what went wrong instead."""
        line = await self.line()
        assert line.startswith("Sluice is ready"), "\n".join(self.errors)
        return line

    async def children(self) -> list[int]:
        """Every process that it has started: guards, backends, services."""
        return list(await children_of(self.process.pid))

    async def child(self, words: str) -> int:
        """The one child whose command line contains `words`."""
        (pid,) = [pid for pid, args in (await children_of(self.process.pid)).items() if words in args]
        return pid

    def told(self, words: str) -> bool:
        """Whether a line of its standard error contains `words`."""
        return any(words in line for line in self.errors)

    async def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        async with asyncio.timeout(END_SECONDS):
            await self._reading
            return await self.process.wait()

    async def _read(self, stderr: asyncio.StreamReader) -> None:
        while line := await stderr.readline():
            self.errors.append(line.decode().rstrip("\n"))


@asynccontextmanager
async def running(environ: Mapping[str, str], port: int = 0) -> AsyncIterator[Run]:
    """A runner with only `environ` beside the PATH; ended at the latest on leaving."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
    port = port or choose_port()
    process = await asyncio.create_subprocess_exec(
        *python("-m", "deploy.local"),
        cwd=ROOT,
        env={**inherited, "SLUICE_PORT": str(port), "SLUICE_DEV_KEYS": f"acme:{KEY}", **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    run = Run(process, port)
    try:
        yield run
    finally:
        if process.returncode is None:
            process.kill()
        await run.end()


def but_for(backends: Backends, *own: Kind) -> dict[str, str]:
    """Backends are given, but for those that the run is to start itself."""
    kept = {kind.variable for kind in own}
    return {name: address for name, address in backends.environ().items() if name not in kept}


async def test_the_command_that_it_prints_runs_a_job_and_sigterm_stops_services_in_order(backends: Backends) -> None:
    async with running(backends.environ()) as run:
        assert await run.ready() == f"Sluice is ready at http://127.0.0.1:{run.port}"
        assert await run.line() == f"API key of tenant acme: {KEY}"
        command = await run.line()
        assert command.startswith("curl ")
        assert run.told("in all")

        if shutil.which("curl"):
            shell = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
            answer, _ = await shell.communicate()
            assert json.loads(answer)["status"] == "succeeded"
            assert json.loads(answer)["output"]
        children = await run.children()

        run.process.terminate()

        assert await run.end() == 0
        await all_gone(children, within=1)
    stopped = [line.split()[-2] for line in run.errors if line.endswith(" stopped")]
    assert stopped == ["gateway", "scheduler", "webhooks", "worker", "aggregator"]
    assert run.errors[-1] == "Stopped."
    assert all([await backend.answers() for backend in backends.all]), "given backends are left alone"
    if not shutil.which("curl"):
        pytest.skip("the command needs curl")


async def test_on_push_it_runs_the_same_job_and_ends_as_well(backends: Backends) -> None:
    async with running({**backends.environ(), "SLUICE_PUSH": "1"}) as run:
        await run.ready()
        children = await run.children()
        headers = {"Authorization": f"Bearer {KEY}", "Prefer": "wait=20"}
        url = f"http://127.0.0.1:{run.port}/v1/jobs"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(url, json={"handler": "debug.echo", "input": "pushed"}) as answer,
        ):
            job = await answer.json()
        assert (job["status"], job["output"]) == ("succeeded", "pushed")

        run.process.terminate()

        assert await run.end() == 0
        await all_gone(children, within=1)
    stopped = [line.split()[-2] for line in run.errors if line.endswith(" stopped")]
    assert stopped == ["gateway", "scheduler", "webhooks", "worker", "aggregator", "bridge"]


async def test_ctrl_c_while_it_starts_ends_it_as_well(backends: Backends) -> None:
    async with running(but_for(backends, REDIS, FIRESTORE)) as run:
        await until(lambda: run.told("Redis at"))
        children = await run.children()

        run.process.send_signal(signal.SIGINT)

        assert await run.end() == 0
        assert await run.line() == ""
        await all_gone(children, within=1)


async def test_a_second_ctrl_c_does_not_wait_for_a_service_that_hangs(backends: Backends) -> None:
    async with running(backends.environ()) as run:
        await run.ready()
        children = await run.children()
        os.kill(await run.child("services.worker"), signal.SIGSTOP)  # it cannot react to SIGTERM
        began = asyncio.get_running_loop().time()

        run.process.send_signal(signal.SIGINT)
        await until(lambda: run.told("Ctrl-C again"))
        run.process.send_signal(signal.SIGINT)

        assert await run.end() == 0
        assert asyncio.get_running_loop().time() - began < 6
        await all_gone(children, within=1)


async def test_nothing_outlives_a_runner_that_is_killed(backends: Backends) -> None:
    async with running({**but_for(backends, REDIS, PUBSUB), "SLUICE_WORKER_PROCESSES": "2"}) as run:
        await run.ready()
        children = await run.children()
        grandchildren = [pid for child in children for pid in await children_of(child)]

        run.process.kill()
        await run.process.wait()

    assert len(children) == 2 + 2 + 6  # guards, backends, gateway, scheduler, webhooks, aggregator, two workers
    await all_gone([*children, *grandchildren], within=5)


async def test_a_dead_service_is_restarted_and_a_dead_backend_ends_the_run(backends: Backends) -> None:
    async with running(but_for(backends, FIRESTORE)) as run:
        await run.ready()
        children = await run.children()

        os.kill(await run.child("services.worker"), signal.SIGKILL)
        await until(lambda: run.told("worker-1 died (signal SIGKILL) and is restarted in 0.5 s"))
        await until(lambda: run.told("worker-1 answers again"), within=START_SECONDS)
        children += await run.children()
        os.kill(await run.child("firestore"), signal.SIGKILL)

        assert await run.end() == 1
        assert run.told("firestore died (signal SIGKILL), and with it the state of this run")
        await all_gone(children, within=1)


async def test_a_taken_port_is_told_before_anything_is_started() -> None:
    with socket.create_server((LOOPBACK, 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        async with running({}, port) as run:
            assert await run.end() == 1
    assert run.told(f"Port {port} on 127.0.0.1 is taken by another program.")
    assert run.told(f"SLUICE_PORT={port + 1} make run")
    assert not run.told("Traceback")


async def test_what_is_missing_is_told_without_a_traceback(tmp_path: Path) -> None:
    async with running({"PATH": str(tmp_path)}) as run:
        assert await run.end() == 1
    assert run.told("The Pub/Sub emulator was not found")
    assert run.told("The Firestore emulator was not found")
    assert not run.told("Traceback")


async def test_a_setting_that_cannot_be_used_is_told_without_a_traceback() -> None:
    async with running({"SLUICE_DEV_KEYS": "acme"}) as run:
        assert await run.end() == 1
    assert run.errors[-1].startswith("SLUICE_DEV_KEYS, entry 1:")
