"""A whole system to be hurt: Sluice behind fault proxies, kept alive, with everything that is seen of it.

    async with arena(backends, folder, "storm") as place:
        async with place.trial() as trial:
            …  trial.clients(8), place.inflict(Kill("worker-1")) …
            verdict = await trial.verdict(pieces)

One `Arena` may hold many `Trial`s, one after the other: each judges what happened in it alone.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from redis.asyncio import Redis

from deploy.local.backends import Backends, Given
from deploy.local.errors import StartFailedError
from deploy.local.process import ChildProcess
from deploy.local.services import SERVICES, ServiceSpec
from deploy.local.settings import DevKey
from deploy.local.system import Options, System
from tests.chaos import trees
from tests.chaos.damage import Damage
from tests.chaos.effects import VARIABLE
from tests.chaos.evidence import Tap, tapped
from tests.chaos.faults import LINKS, Cast, Link
from tests.chaos.points import Armoury
from tests.chaos.proxy import FaultProxy, Passing
from tests.chaos.supervision import Supervision

KEY: Final = DevKey("acme", "sk_acme_0123456789abcdef0123456789abcdef")
LEASE_SECONDS: Final = 4
PUBLISH_SECONDS: Final = 3
READY_SECONDS: Final = 180.0
"""For all to be well again, on a machine that may be busy with other things."""
TICK_SECONDS: Final = 0.05
POINTED: Final = "tests.chaos.worker_main"
ALTERED: Final = {"worker": POINTED, "aggregator": "tests.chaos.aggregator_main"}
ENVIRON: Final[Mapping[str, str]] = {
    "SLUICE_LEASE_SECONDS": str(LEASE_SECONDS),
    "SLUICE_PUBLISH_SECONDS": str(PUBLISH_SECONDS),
    "SLUICE_RETRY_BASE_SECONDS": "0.2",
    "SLUICE_RECHECK_SECONDS": "2",
    "SLUICE_REQUESTS_PER_SECOND": "50000",
    "SLUICE_REQUEST_BURST": "100000",
}
"""Shorter times than a deployment's, so that a test sees them pass, and no limit on how fast its one key may ask."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an arena is made of.

    pointed: workers with crash points (`worker_main`), and aggregators that may have a bug (`aggregator_main`), in
    place of the real ones.
    processes: how many of each service. services: instead of those of `make run`.
    """

    pointed: bool = True
    processes: Mapping[str, int] = field(
        default_factory=lambda: {"gateway": 2, "worker": 2, "scheduler": 2, "aggregator": 2}
    )
    services: tuple[ServiceSpec, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    def specs(self) -> tuple[ServiceSpec, ...]:
        if self.services or not self.pointed:
            return self.services or SERVICES
        return tuple(
            ServiceSpec(spec.name, ALTERED.get(spec.name, spec.module), spec.needs, spec.processes) for spec in SERVICES
        )


@dataclass(frozen=True, slots=True)
class Arena:
    """A running system, its network, and what is known of it. Use `inflict` (of `inflict`) to hurt it."""

    system: System
    backends: Backends
    links: Mapping[Link, FaultProxy]
    supervision: Supervision
    damage: Damage
    armoury: Armoury
    effects: Path
    tap: Tap

    @property
    def project(self) -> str:
        return self.system.options.project

    @property
    def services(self) -> dict[str, ChildProcess]:
        """By the names of their processes."""
        return {process.name: process for group in self.system.services.values() for process in group}

    @property
    def cast(self) -> Cast:
        names = {name: tuple(process.name for process in group) for name, group in self.system.services.items()}
        return Cast(
            names["gateway"], names.get("worker", ()), names["scheduler"], LEASE_SECONDS, names.get("aggregator", ())
        )

    def redis(self) -> Redis:
        """A client past the proxy."""
        return Redis.from_url(self.backends.redis.address)

    async def heal(self) -> None:
        """Everything works again. Raises TimeoutError if something does not."""
        self.armoury.disarm()
        for link in self.links.values():
            await link.become(Passing())
        redis = self.backends.redis.process
        if redis is not None and not redis.running:
            await redis.start()
        async with asyncio.timeout(READY_SECONDS):
            await asyncio.gather(*(self._well(process) for process in self.services.values()))

    async def _well(self, process: ChildProcess) -> None:
        """Ready, though it may die once more on the way, of what was done to it before, or take its time."""
        while True:
            while not process.running:
                await asyncio.sleep(TICK_SECONDS)  # until `supervision` has started it again
            trees.send(trees.tree(process.pid), signal.SIGCONT)
            with suppress(StartFailedError):
                await process.until_ready()
                return

    async def metric(self, process: str, name: str) -> float:
        """The sum of a metric's samples in one service process, which must answer."""
        port = self.system.admin_ports[process]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@asynccontextmanager
async def arena(backends: Backends, folder: Path, name: str, plan: Plan = Plan()) -> AsyncIterator[Arena]:
    """Started and ready; ended on leaving. name: its project. backends: shared with others, but for Redis, which is
    flushed and killed at will.
    """
    async with AsyncExitStack() as stack:
        links: dict[Link, FaultProxy] = {}
        for link, address in zip(LINKS, _addresses(backends), strict=True):
            links[link] = await stack.enter_async_context(FaultProxy(address))
        options = _options(folder, name, plan, links)
        system = await stack.enter_async_context(System(options, services=plan.specs()))
        tap = await stack.enter_async_context(tapped(name, options.prefix, backends.pubsub.address))
        damage = Damage()
        services = {process.name: process for group in system.services.values() for process in group}
        supervision = Supervision(services, damage)
        await stack.enter_async_context(supervision.running())
        armoury = Armoury(folder / "points")
        place = Arena(system, backends, links, supervision, damage, armoury, folder / "effects", tap)
        yield place
        await place.heal()


def _options(folder: Path, name: str, plan: Plan, links: Mapping[Link, FaultProxy]) -> Options:
    points = folder / "points"
    points.mkdir(parents=True)
    given = Given(links["broker"].address, links["store"].address, f"redis://{links['cache'].address}/0")
    environ = {
        **ENVIRON,
        VARIABLE: str(folder / "effects"),
        "SLUICE_CHAOS_POINTS": str(points),
        **plan.environ,
    }
    return Options(
        logs=folder,
        handlers=("tests.chaos.handlers:handlers",),
        processes=plan.processes,
        keys=(KEY,),
        project=name,
        given=given,
        environ=environ,
    )


def _addresses(backends: Backends) -> Iterable[str]:
    redis = backends.redis.address.partition("//")[2].partition("/")[0]
    return backends.pubsub.address, backends.firestore.address, redis
