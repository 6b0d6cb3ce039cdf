"""The whole of Sluice as one object: backends, topology, keys and every service, on one machine.

    async with System(Options(logs=folder)) as system:
        system.base_url                              "http://127.0.0.1:23110"
        system.keys[0].token                         the API key to send
        await system.processes["worker-1"].kill()    or freeze(), thaw(), stop(), restart(): same port, same settings

`make run`, the acceptance and chaos tests and the load harness start it alike. Nobody is restarted behind the caller's
back: that is `supervise`, which only `make run` adds. Backends may be shared between systems: pass each
`given=backends.given(redis_database=n)` with a `project` and `prefix` of its own.
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deploy.local.backends import NOTHING_GIVEN, Backends, Given
from deploy.local.guard import Guard
from deploy.local.logs import keep_bounded
from deploy.local.ports import LOOPBACK, choose_port, claim_gateway_port
from deploy.local.probes import answers_http
from deploy.local.process import ChildProcess, Command, run_to_end
from deploy.local.pushed import NOT_PUSHED, Pushed
from deploy.local.services import PUSHING, SERVICES, ServiceSpec
from deploy.local.settings import EXAMPLE_HANDLERS, DevKey
from deploy.local.steps import Report, running, together, unheard

ROOT: Final = Path(__file__).resolve().parents[2]
_SERVICE_SECONDS: Final = 60.0
_ADMIN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a system is started.

    logs: folder for one log a process.
    port: of the gateway; 0 lets a free one be chosen.
    processes: how many of a service, by its name, where it is not the table's number.
    keys: API keys to seed; none means that one is generated.
    project, prefix: keep systems apart that share backends.
    given: backends that somebody else runs.
    push: the workers are pushed to, through the bridge, instead of pulling.
    environ: added to the environment of every service, such as shorter leases for a test.
    """

    logs: Path
    port: int = 0
    handlers: tuple[str, ...] = EXAMPLE_HANDLERS
    processes: Mapping[str, int] = field(default_factory=dict)
    keys: tuple[DevKey, ...] = ()
    project: str = "sluice-local"
    prefix: str = "sluice"
    given: Given = NOTHING_GIVEN
    push: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)


class System:
    """An async context manager. On leaving, every process has ended, in order: gateways first, backends last."""

    def __init__(
        self, options: Options, report: Report = unheard, services: tuple[ServiceSpec, ...] | None = None
    ) -> None:
        self.options = options
        self.keys = options.keys or (DevKey.generate(),)
        self.port = options.port or choose_port()
        self.base_url = f"http://{LOOPBACK}:{self.port}"
        self.backends = Backends(options.logs, options.given, report)
        self.services: dict[str, list[ChildProcess]] = {}
        self.admin_ports: dict[str, int] = {}
        self._id_key = secrets.token_hex(32)
        self._webhook_key = secrets.token_hex(32)
        self._guard = Guard()
        self._report = report
        self._specs = (PUSHING if options.push else SERVICES) if services is None else services
        self.pushed = Pushed.choose() if options.push else None
        self._stack = AsyncExitStack()

    @property
    def processes(self) -> dict[str, ChildProcess]:
        """Every process of ours by name: `gateway-1`, `worker-2`, …, and of `pubsub`, `firestore`, `redis` our own."""
        return {process.name: process for process in (*chain(*self.services.values()), *self.backends.processes)}

    def service_logs(self) -> list[Path]:
        """The log of every service process started so far."""
        return [process.command.log for process in chain(*self.services.values())]

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return when the gateway is ready. Raises LocalError; whatever was started by then is ended by `stop`."""
        claim_gateway_port(self.port)
        await self._stack.enter_async_context(self._guard)
        await self._stack.enter_async_context(running(keep_bounded(self._all_logs)))
        await self._stack.enter_async_context(self.backends)
        await self._prepare()
        await self._start_services()

    async def stop(self) -> None:
        """End everything in order. Harmless twice, and at any point of `start`."""
        try:
            for spec in self._specs:
                await self._stop_service(spec.name)
        finally:
            await self._stack.aclose()

    async def kill(self) -> None:
        """End every process at once. A `stop` under way then has nothing left to wait for."""
        await together(process.kill() for process in self.processes.values())

    def environ(self) -> dict[str, str]:
        """What every service and `sluice-admin` get to know this system by."""
        return {
            **_inherited(),
            **self.backends.environ(),
            "SLUICE_PROJECT": self.options.project,
            "SLUICE_PREFIX": self.options.prefix,
            "SLUICE_ID_KEYS": f"1:{self._id_key}",
            "SLUICE_WEBHOOK_KEYS": f"1:{self._webhook_key}",
            "SLUICE_HANDLERS": ",".join(self.options.handlers),
            "SLUICE_HOST": LOOPBACK,
            "SLUICE_PORT": str(self.port),
            **(self.pushed.environ() if self.pushed else NOT_PUSHED),
            **self.options.environ,
        }

    async def _prepare(self) -> None:
        """Create the topics and subscriptions that are missing, and write the development keys."""
        began = time.monotonic()
        keys = ",".join(str(key) for key in self.keys)
        words = ("topology", "apply", "--", "keys", "seed")
        command = self._command("admin", "deploy.local.administer", *words, SLUICE_DEV_KEYS=keys)
        await run_to_end(command, self._guard, _ADMIN_SECONDS)
        self._report("topology and keys are in place", time.monotonic() - began)

    async def _start_services(self) -> None:
        answering = {spec.name: asyncio.Event() for spec in self._specs}
        for spec in self._specs:
            count = self.options.processes.get(spec.name, spec.processes)
            self.services[spec.name] = [self._service_process(spec, number) for number in range(1, count + 1)]
        await together(self._start_service(spec, answering) for spec in self._specs)

    async def _start_service(self, spec: ServiceSpec, answering: Mapping[str, asyncio.Event]) -> None:
        for need in spec.needs:
            await answering[need].wait()
        began = time.monotonic()
        processes = self.services[spec.name]
        await together(process.start() for process in processes)
        answering[spec.name].set()
        plural = "" if len(processes) == 1 else "es"
        self._report(f"{spec.name} ready ({len(processes)} process{plural})", time.monotonic() - began)

    async def _stop_service(self, name: str) -> None:
        began = time.monotonic()
        processes = [process for process in self.services.get(name, []) if process.running]
        await together(process.stop() for process in processes)
        if processes:
            self._report(f"{name} stopped", time.monotonic() - began)

    def _all_logs(self) -> list[Path]:
        return [process.command.log for process in self.processes.values()]

    def _service_process(self, spec: ServiceSpec, number: int) -> ChildProcess:
        name = f"{spec.name}-{number}"
        port = self.admin_ports[name] = choose_port()
        command = self._command(name, spec.module, SLUICE_ADMIN_PORT=str(port), HOSTNAME=name)
        ready = f"http://{LOOPBACK}:{port}/readyz"
        return ChildProcess(command, self._guard, lambda: answers_http(ready), _SERVICE_SECONDS)

    def _command(self, name: str, module: str, *arguments: str, **environ: str) -> Command:
        argv = (sys.executable, "-m", module, *arguments)
        return Command(name, argv, {**self.environ(), **environ}, ROOT, self.options.logs.resolve() / f"{name}.log")


def _inherited() -> dict[str, str]:
    """Our own environment, with no proxy between processes of this machine: gRPC would send emulator calls to one."""
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    for name in ("no_proxy", "NO_PROXY"):
        environ[name] = ",".join(filter(None, (environ.get(name), LOOPBACK, "localhost")))
    return environ
