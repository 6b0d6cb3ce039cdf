"""`make run`: starts Sluice, says how to use it, keeps it whole until Ctrl-C or SIGTERM, and leaves nothing behind.

On stdout only what to use: the address, the keys and a command to copy. On stderr everything that happens.
"""

import argparse
import asyncio
import fcntl
import os
import shlex
import signal
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from deploy.local.backends import Given
from deploy.local.errors import LocalError
from deploy.local.leash import die_with_parent
from deploy.local.logs import show_warnings
from deploy.local.settings import DevKey, RunSettings
from deploy.local.steps import together
from deploy.local.supervise import supervise
from deploy.local.system import ROOT, Options, System

_TRY_IT: Final = '{"handler": "text.stats", "input": {"text": "The quick brown fox jumps over the lazy dog."}}'


def main(arguments: Sequence[str]) -> int:
    """Run until told to stop. 0: stopped as asked; 1: could not start or go on, and said why."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="Run all of Sluice on this machine.")
    parser.add_argument("--end-with", type=int, metavar="PID", help="stop, as for SIGTERM, when our parent PID ends")
    if parent := parser.parse_args(arguments).end_with:
        die_with_parent(parent, signal.SIGTERM)
    try:
        return asyncio.run(_run(os.environ))
    except LocalError as fault:
        _say(f"\n{fault}")
        return 1


async def _run(environ: Mapping[str, str]) -> int:
    settings = RunSettings.read(environ)
    with _log_folder(ROOT / ".cache", settings.port) as logs:
        system = System(_options(settings, environ, logs), _report)
        _say(f"Starting Sluice. Logs are in {_short(logs)}")
        with _stopped_by_signals(system) as stop:
            try:
                await _unless(stop, _live(system))
            finally:
                await system.stop()
    _say("Stopped.")
    return 0


def _options(settings: RunSettings, environ: Mapping[str, str], logs: Path) -> Options:
    return Options(
        logs=logs,
        port=settings.port,
        handlers=settings.all_handlers,
        processes={"gateway": settings.gateway_processes, "worker": settings.worker_processes},
        keys=settings.keys,
        given=Given.read(environ),
        push=settings.push,
    )


async def _live(system: System) -> None:
    began = time.monotonic()
    await system.start()
    _report("in all", time.monotonic() - began)
    _announce(system.base_url, system.keys)
    await together([supervise(system, _say), show_warnings(system.service_logs, _say)])


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` until it ends or `stop` is set; in the latter case it has been cancelled on return."""
    task, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@contextmanager
def _stopped_by_signals(system: System) -> Iterator[asyncio.Event]:
    """The event is set by the first signal; the second one kills everything."""
    loop, stop, kills = asyncio.get_running_loop(), asyncio.Event(), set[asyncio.Task[None]]()

    def on_signal() -> None:
        if not stop.is_set():
            stop.set()
            _say("Stopping. Press Ctrl-C again to end everything at once.")
        elif not kills:
            kills.add(loop.create_task(system.kill()))

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def _log_folder(cache: Path, port: int) -> Iterator[Path]:
    """`run`, or `run-<port>` while another runner of this clone writes to `run`; without the logs of earlier runs."""
    cache.mkdir(exist_ok=True)
    with (cache / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            folder = cache / f"run-{port}"
        else:
            folder = cache / "run"
        for old in folder.glob("*.log*"):
            old.unlink()
        yield folder


def _announce(url: str, keys: tuple[DevKey, ...]) -> None:
    headers = (f"Authorization: Bearer {keys[0].token}", "Content-Type: application/json", "Prefer: wait=30")
    options = " ".join(f"-H {shlex.quote(header)}" for header in headers)
    lines = [f"Sluice is ready at {url}"]
    lines += [f"API key of tenant {key.tenant}: {key.token}" for key in keys]
    lines.append(f"curl -sS {url}/v1/jobs {options} -d {shlex.quote(_TRY_IT)}")
    with suppress(OSError):
        print("\n".join(lines), flush=True)


def _report(step: str, seconds: float) -> None:
    _say(f"{seconds:6.1f} s  {step}")


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal is gone; what must be stopped is stopped all the same
        print(text, file=sys.stderr, flush=True)


def _short(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
