"""How any service lives: settings, uvloop, signals, admin port, readiness, and one ladder down.

A service's `__main__` calls `run`; its composition root (`app.py`) is an async context manager that builds adapters,
starts what must run, and yields a `Service`; leaving it closes everything in reverse. The ladder on SIGTERM or SIGINT:
not ready → stop taking → finish within the deadline → release the rest and close → exit, in under 10 s.
"""

import asyncio
import gc
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import uvloop
from aiohttp import web

from shared.config import ServiceSettings, load
from shared.errors import ConfigError, SluiceError
from shared.telemetry import logs
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import Traces, exporting

EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h."""
CHECK_SECONDS = 2.0
YOUNG = (10_000, 20, 20)
"""Of `gc.set_threshold`; by default a collection comes after 700 new objects, a dozen jobs."""
HARD_STOP_SECONDS = 9.5
"""Cloud Run kills 10 s after SIGTERM; whatever hangs until here is left behind with a line that says so."""

_log = logging.getLogger("sluice.lifecycle")

Check = Callable[[], Awaitable[None]]
"""Returns when a dependency answers; raises SluiceError when it does not."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service, as its composition root hands it over."""

    checks: Mapping[str, Check]
    """What must answer for the service to be ready, by name."""
    stop_taking: Callable[[], Awaitable[None]]
    """No new work from here on. Returns at once, or after as long as it takes a proxy to send no more."""
    drain: Callable[[float], Awaitable[None]]
    """Finish what runs within so many seconds, and release the rest."""


class Readiness:
    """Whether the service takes work: it has started, every dependency has answered once, and it is not draining.

    A dependency that is lost later is reported and changes nothing: all instances lose it together, and taking them all
    out of service would refuse what can still be answered.
    """

    def __init__(self) -> None:
        self._checks: Mapping[str, Check] | None = None
        self._answered = False

    def up(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    def down(self) -> None:
        self._checks = None

    async def respond(self, _request: web.BaseRequest) -> web.Response:
        """`/readyz`: 200 or 503, with `ok` or what is wrong by dependency."""
        checks = self._checks
        report = await _report(checks or {})
        self._answered = self._answered or (bool(report) and all(state == "ok" for state in report.values()))
        ready = self._answered and checks is not None
        body = {"ready": ready, "checks": report}
        return web.json_response(body, status=200 if ready else 503, headers={"Cache-Control": "no-store"})


async def _report(checks: Mapping[str, Check]) -> dict[str, str]:
    results = await asyncio.gather(*(_check(check) for check in checks.values()))
    return dict(zip(checks, results, strict=True))


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a process hands to the service that it runs. Logs go through the standard `logging`."""

    metrics: Metrics
    traces: Traces
    readiness: Readiness


S = TypeVar("S", bound=ServiceSettings)
App = Callable[[S, Runtime], AbstractAsyncContextManager[Service]]


async def _check(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except (SluiceError, TimeoutError) as fault:
        return "no answer in time" if isinstance(fault, TimeoutError) else type(fault).__name__
    return "ok"


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Own `work` while the block lasts: a task each, cancelled and awaited at its end. A failing one ends the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def run(name: str, settings_type: type[S], app: App[S]) -> None:
    """Run the service until it is told to stop; the process's exit status is the return of this."""
    try:
        settings = load(settings_type, os.environ)
    except ConfigError as fault:
        logs.configure(name, "", level="INFO")
        _log.critical("the settings are not usable", extra={"faults": str(fault)})
        sys.exit(EXIT_CONFIG)
    instance = _instance(settings.instance or socket.gethostname())
    settings = replace(settings, instance=instance)
    logs.configure(name, instance, level=settings.log_level, project=settings.project)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_live(name, settings, app))
        except ConfigError as fault:
            _log.critical("the service cannot run as configured", extra={"faults": str(fault)})
            sys.exit(EXIT_CONFIG)
        except Exception:  # noqa: BLE001 - the last resort of a process
            _log.critical("the service failed", exc_info=True)
            sys.exit(1)


def _instance(host: str) -> str:
    """A name that no other process has. On Cloud Run every instance is `localhost`, and its only process the first."""
    return f"{host}-{secrets.token_hex(4) if host == 'localhost' else os.getpid()}"


async def _live(name: str, settings: S, app: App[S]) -> None:
    traces = exporting(name, settings.instance, endpoint=settings.otlp_endpoint, ratio=settings.trace_ratio)
    runtime = Runtime(Metrics(), traces, Readiness())
    runtime.metrics.watch_process()
    stop = _stop_signal()
    async with _admin(settings, runtime), _exported(name, settings, runtime), AsyncExitStack() as stack:
        service = await _started(app(settings, runtime), stack, stop)
        if service is not None:
            await _serve(service, settings, runtime, stop)
    await asyncio.to_thread(traces.shutdown)
    _log.info("stopped")


async def _started(
    service: AbstractAsyncContextManager[Service], stack: AsyncExitStack, stop: asyncio.Event
) -> Service | None:
    """The service once it runs, to be closed by `stack`; None when it was told to stop before.

    A start can take long: some services wait for their dependencies in it.
    """
    loop = asyncio.get_running_loop()
    told = loop.create_task(stop.wait(), name="told to stop while starting")
    patience = asyncio.timeout(None)

    def lose_it(_: "asyncio.Task[Literal[True]]") -> None:
        patience.reschedule(loop.time())

    try:
        async with patience:
            told.add_done_callback(lose_it)
            try:
                return await stack.enter_async_context(service)
            finally:
                told.remove_done_callback(lose_it)
    except TimeoutError:
        if not patience.expired():
            raise
        _log.info("told to stop while starting")
        return None
    finally:
        told.cancel()


async def _serve(service: Service, settings: ServiceSettings, runtime: Runtime, stop: asyncio.Event) -> None:
    """Until it is told to stop; then down the ladder."""
    runtime.readiness.up(service.checks)
    _calm_the_collector()
    _log.info("started")
    await stop.wait()
    _log.info("draining", extra={"seconds": settings.drain_seconds})
    runtime.readiness.down()
    await service.stop_taking()
    await service.drain(settings.drain_seconds)


def _calm_the_collector() -> None:
    """What is loaded by now stays: going through it again and again costs CPU, and pauses that clients feel.

    Young objects die by their counts, as nearly all here do, and are looked at less often than by default.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*YOUNG)


def _stop_signal() -> asyncio.Event:
    """Set when the process is told to stop; from then on its time is bounded."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if not stop.is_set():
            stop.set()
            loop.call_later(HARD_STOP_SECONDS, _give_up)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard)
    return stop


def _give_up() -> None:
    _log.critical("the drain hangs; leaving", extra={"tasks": sorted(t.get_name() for t in asyncio.all_tasks())[:50]})
    sys.stdout.flush()
    os._exit(1)


@asynccontextmanager
async def _exported(name: str, settings: ServiceSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Metrics go to the collector, if there is one."""
    if not settings.otlp_endpoint:
        yield
        return
    from shared.telemetry.otlp_metrics import exported

    async with exported(runtime.metrics.registry, name, settings.instance, settings.otlp_endpoint):
        yield


@asynccontextmanager
async def _admin(settings: ServiceSettings, runtime: Runtime) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_get("/livez", _alive)
    app.router.add_get("/readyz", runtime.readiness.respond)
    app.router.add_get("/metrics", _exposition(runtime.metrics))
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=15, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, settings.admin_host, settings.admin_port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _alive(_request: web.BaseRequest) -> web.Response:
    """`/livez`: the loop turns."""
    return web.json_response({"live": True}, headers={"Cache-Control": "no-store"})


def _exposition(metrics: Metrics) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    async def expose(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=metrics.expose(), content_type="text/plain", charset="utf-8")

    return expose
