"""What every row stands on: the machine's cores, a system to measure, servers to compare it with, and load.

Made once by `run`; the rows see nothing of processes and pins beyond it.
"""

from __future__ import annotations

import secrets
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.local.ports import LOOPBACK, choose_port
from deploy.local.probes import answers_http
from deploy.local.process import ChildProcess, Command
from deploy.local.settings import DevKey
from deploy.local.system import ROOT, Options, System
from tests.load import generating
from tests.load.generator.http1 import Address
from tests.load.placement import Cores, pin
from tests.load.proc import Meter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from deploy.local.guard import Guard
    from tests.load.arguments import Arguments
    from tests.load.generator.plans import Plan, Tally

KEYS: Final = 64
"""API keys, one a connection where there are so few: the usual limit of a key is far below what one gateway answers."""
WARM_SECONDS: Final = 1.0
HANDLERS: Final = ("examples.debug:handlers",)
SLUICE: Final = "Sluice"
NO_OP: Final = "debug.echo"
SLEEP: Final = "debug.sleep"
_READY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Bench:
    """folder: of the logs. guard: ends what we leave behind."""

    arguments: Arguments
    cores: Cores
    guard: Guard
    folder: Path

    @asynccontextmanager
    async def system(
        self, name: str, *, gateways: int = 1, workers: int = 1, environ: Mapping[str, str] | None = None
    ) -> AsyncIterator[System]:
        """A system of its own, backends included, that nothing else has used."""
        options = Options(
            logs=self.folder / name,
            handlers=HANDLERS,
            processes={"gateway": gateways, "worker": workers},
            keys=tuple(DevKey("load", f"sk_load{number}_{secrets.token_hex(16)}") for number in range(KEYS)),
            environ=environ or {},
        )
        async with System(options) as system:
            yield system

    @asynccontextmanager
    async def server(
        self, name: str, argv: Sequence[str], environ: Mapping[str, str], path: str = "/", *, alone: bool = True
    ) -> AsyncIterator[Server]:
        """Another server. `{port}` in `argv` becomes its port; `path` must answer 200. alone: on the measured core."""
        port = choose_port()
        filled = tuple(each.replace("{port}", str(port)) for each in argv)
        async with self.process(name, filled, environ, f"http://{LOOPBACK}:{port}{path}") as pid:
            if alone:
                pin([pid], self.cores.measured)
            yield Server(name, Address(LOOPBACK, port), pid)

    @asynccontextmanager
    async def process(self, name: str, argv: Sequence[str], environ: Mapping[str, str], url: str) -> AsyncIterator[int]:
        """Another process, by its number, once `url` answers 200. It is killed in the end, with all that it started."""
        command = Command(name, tuple(argv), environ, ROOT, self.folder / f"{name}.log")
        process = ChildProcess(command, self.guard, lambda: answers_http(url), _READY_SECONDS)
        try:
            await process.start()
            yield process.pid
        finally:
            await process.kill()

    async def load(self, plan: Plan, seconds: float, *, apart: bool = True) -> Tally:
        """Carry out a plan. seconds: how long it takes. apart: away from the core that is measured."""
        cores = self.cores.others if apart else self.cores.measured | self.cores.others
        return await generating.carry_out(self.guard, cores, plan, seconds)

    def pin_gateway(self, system: System) -> None:
        """The gateway alone on the measured core, everything else on the others."""
        pin([process.pid for process in system.processes.values()], self.cores.others)
        pin([process.pid for process in system.services["gateway"]], self.cores.measured)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs. name: what its faults are told under."""

    name: str
    address: Address
    pid: int


def gateway(system: System) -> Server:
    """The gateway of a system that has one."""
    return Server(SLUICE, Address(LOOPBACK, system.port), system.services["gateway"][0].pid)


def tokens(system: System) -> list[str]:
    return [key.token for key in system.keys]


def meter(system: System) -> Meter:
    """CPU by service and backend, from now on."""
    groups = {name: [process.pid for process in processes] for name, processes in system.services.items()}
    return Meter({**groups, **{process.name: [process.pid] for process in system.backends.processes}})


def this_python(arguments: Arguments) -> str:
    """The interpreter that peers are run with."""
    return arguments.peer_python or sys.executable
