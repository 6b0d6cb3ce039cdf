"""Pub/Sub, Firestore and Redis for one machine: given ones are used as they are, others are started and stopped here.

    async with Backends(logs=Path(".cache/run")) as backends:
        backends.pubsub.address      "127.0.0.1:23110"
        backends.environ()           the variables by which the client libraries and services find all three

`System` owns one; test sessions own one for all their tests and pass `backends.given()` on to each system.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from deploy.local import missing, probes
from deploy.local.container import Container, docker_run
from deploy.local.errors import MissingError
from deploy.local.find import Launch, Tools, find_firestore, find_pubsub, find_redis, this_machine
from deploy.local.guard import Guard
from deploy.local.ports import LOOPBACK, choose_port
from deploy.local.process import ChildProcess, Command
from deploy.local.steps import Report, together, unheard

_READY_SECONDS: Final = 60.0  # 2 to 5 s on an idle laptop, but Java starts slowly on a busy one


@dataclass(frozen=True, slots=True)
class Given:
    """Addresses of backends that somebody else runs; empty where one is to be started.

    pubsub, firestore: `host:port`. redis: a URL, with the database number as its path.
    """

    pubsub: str = ""
    firestore: str = ""
    redis: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """From the variables that the client libraries know."""
        return cls(*(environ.get(kind.variable, "") for kind in KINDS))


NOTHING_GIVEN: Final = Given()


@dataclass(frozen=True, slots=True)
class Kind:
    """What there is to know about one sort of backend.

    variable: names its address in the environment, for the client libraries and for us.
    address: as that variable has it, for a port of this machine.
    """

    name: str
    title: str
    variable: str
    address: Callable[[int], str]
    answers: Callable[[str], Awaitable[bool]]
    find: Callable[[Tools], Awaitable[Launch]]


def _host_port(port: int) -> str:
    return f"{LOOPBACK}:{port}"


def _redis_url(port: int) -> str:
    return f"redis://{LOOPBACK}:{port}/0"


PUBSUB: Final = Kind(
    "pubsub", "The Pub/Sub emulator", "PUBSUB_EMULATOR_HOST", _host_port, probes.answers_pubsub, find_pubsub
)
FIRESTORE: Final = Kind(
    "firestore",
    "The Firestore emulator",
    "FIRESTORE_EMULATOR_HOST",
    _host_port,
    probes.answers_firestore,
    find_firestore,
)
REDIS: Final = Kind("redis", "Redis", "REDIS_URL", _redis_url, probes.answers_redis, find_redis)
KINDS: Final = (PUBSUB, FIRESTORE, REDIS)


class Backend:
    """One backend, ours or given. `address` is known before it is started; `process` is None when it is given."""

    def __init__(self, kind: Kind, given: str, logs: Path, guard: Guard) -> None:
        self.kind = kind
        self.address = given
        self.process: ChildProcess | None = None
        self.via = "given"
        self._logs = logs
        self._guard = guard

    async def plan(self, tools: Tools) -> None:
        """Find out how to start it. Raises MissingError."""
        if self.address:
            return
        launch, port = await self.kind.find(tools), choose_port()
        self.via = launch.via
        self.address = self.kind.address(port)
        self.process = self._build(launch, port)

    async def start(self) -> None:
        """Return when it answers. Raises MissingError (given, and does not answer) or StartFailedError."""
        if self.process is not None:
            await self.process.start()
        elif not await self.answers():
            raise missing.given(self.kind.title, self.kind.variable, self.address)

    async def stop(self) -> None:
        """End it, if it is ours. Nothing is kept on disk, so there is nothing to wait for."""
        if self.process is not None:
            await self.process.kill()

    async def answers(self) -> bool:
        """Whether it answers now."""
        return await self.kind.answers(self.address)

    def _build(self, launch: Launch, port: int) -> ChildProcess:
        if not launch.image:
            return ChildProcess(self._command(launch.argv(port)), self._guard, self.answers, _READY_SECONDS)
        name = f"sluice-{self.kind.name}-{port}"
        argv = docker_run(name, launch.image, port, launch.container_port, launch.argv(launch.container_port))
        return Container(self._command(argv), self._guard, self.answers, name)

    def _command(self, argv: tuple[str, ...]) -> Command:
        return Command(self.kind.name, argv, os.environ, self._logs, self._logs / f"{self.kind.name}.log")


class Backends:
    """All three, as an async context manager: started together on entering, ended on leaving.

    logs: folder for one log a backend; made when missing.
    given: what is run elsewhere already.
    report: told of each one that answers, with the seconds it took.
    """

    def __init__(
        self, logs: Path, given: Given = NOTHING_GIVEN, report: Report = unheard, tools: Tools | None = None
    ) -> None:
        self._logs = logs.resolve()
        self._guard = Guard()
        self._report = report
        self._tools = tools or this_machine()
        self._stack = AsyncExitStack()
        self.pubsub = Backend(PUBSUB, given.pubsub, self._logs, self._guard)
        self.firestore = Backend(FIRESTORE, given.firestore, self._logs, self._guard)
        self.redis = Backend(REDIS, given.redis, self._logs, self._guard)

    @property
    def all(self) -> tuple[Backend, Backend, Backend]:
        """Pub/Sub, Firestore, Redis."""
        return self.pubsub, self.firestore, self.redis

    @property
    def processes(self) -> list[ChildProcess]:
        """Those that run here; none for what is given."""
        return [backend.process for backend in self.all if backend.process is not None]

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._guard)
            await self._plan()
            for backend in self.all:
                stack.push_async_callback(backend.stop)
            await together(self._start(backend) for backend in self.all)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def environ(self) -> dict[str, str]:
        """The variables by which client libraries and services find the backends."""
        return {backend.kind.variable: backend.address for backend in self.all}

    def given(self, redis_database: int = 0) -> Given:
        """The same backends, as another `Backends` or `System` takes them: used, never stopped.

        redis_database: the number that keeps the other's keys apart.
        """
        redis = urlsplit(self.redis.address)._replace(path=f"/{redis_database}").geturl()
        return Given(self.pubsub.address, self.firestore.address, redis)

    async def _plan(self) -> None:
        faults = await asyncio.gather(*(backend.plan(self._tools) for backend in self.all), return_exceptions=True)
        unexpected = [fault for fault in faults if fault and not isinstance(fault, MissingError)]
        if unexpected:
            raise unexpected[0]
        if any(faults):  # all at once, so that nobody installs one thing to be told of the next
            raise MissingError("\n\n".join(str(fault) for fault in faults if fault))

    async def _start(self, backend: Backend) -> None:
        began = time.monotonic()
        await backend.start()
        self._report(f"{backend.kind.title} at {backend.address} ({backend.via})", time.monotonic() - began)
