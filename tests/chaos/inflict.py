"""Carries faults out on an arena, and writes down what was done (`damage`)."""

import asyncio
import signal
from collections.abc import Iterable
from time import monotonic

from tests.chaos import trees
from tests.chaos.arena import Arena
from tests.chaos.faults import Cut, Fault, Flush, Freeze, Kill, KillRunner, Moment, RedisGone, Terminate, Weather
from tests.chaos.proxy import Passing

RUNNER = "services.worker.execution.runner"


async def inflict(place: Arena, fault: Fault) -> None:
    """Do it, and return when it is over. A process that is down already is spared."""
    match fault:
        case Kill(process):
            await _kill(place, process)
        case KillRunner(worker):
            _kill_runner(place, worker)
        case Freeze(process, seconds):
            await _freeze(place, process, seconds)
        case Terminate(process):
            await _terminate(place, process)
        case Weather(link, condition, seconds):
            detail = "" if isinstance(condition, Passing) else link
            with place.damage.lasting(detail or "slow", detail=str(condition)):
                async with place.links[link].under(condition):
                    await asyncio.sleep(seconds)
        case Cut(link, half):
            with place.damage.lasting(link, detail=str(fault)):
                place.links[link].half_close() if half else place.links[link].reset()
        case Flush():
            async with place.redis() as redis:
                await redis.flushall()
        case RedisGone(seconds):
            await _replace_redis(place, seconds)


async def perform(place: Arena, moments: Iterable[Moment]) -> None:
    """A whole schedule, from now on; returns when the last of it is over."""
    began = monotonic()
    async with asyncio.TaskGroup() as group:
        for moment in moments:
            await asyncio.sleep(max(0.0, began + moment.at - monotonic()))
            group.create_task(inflict(place, moment.fault))


async def _kill(place: Arena, name: str) -> None:
    process = place.services[name]
    if process.running:
        await process.kill()


def _kill_runner(place: Arena, worker: str) -> None:
    """The shared one: the first child of the worker."""
    process = place.services[worker]
    if not process.running:
        return
    for pid in trees.tree(process.pid)[1:2]:
        place.damage.died("runner", pid, "killed")
        trees.send([pid], signal.SIGKILL)


async def _freeze(place: Arena, name: str, seconds: float) -> None:
    process = place.services[name]
    if not process.running:
        return
    pids = trees.tree(process.pid)
    with place.damage.lasting("freeze", pid=process.pid, detail=name):
        trees.send(pids, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            trees.send(pids[::-1], signal.SIGCONT)


async def _terminate(place: Arena, name: str) -> None:
    process = place.services[name]
    if process.running:
        with place.damage.lasting("drain", pid=process.pid, detail=name):
            await process.stop()


async def _replace_redis(place: Arena, seconds: float) -> None:
    process = place.backends.redis.process
    if process is None:
        raise RuntimeError("this Redis is not ours to kill")
    with place.damage.lasting("cache", detail="killed"):
        await process.kill()
        await asyncio.sleep(seconds)
        await process.start()
