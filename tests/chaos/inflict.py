"""Carries faults out on an arena, and writes down what was done (`damage`)."""

import asyncio
import logging
import signal
from collections.abc import Iterable
from random import Random
from time import monotonic

from redis.exceptions import RedisError

from deploy.local.errors import StartFailedError
from deploy.local.process import ChildProcess
from shared.errors import Overloaded, Unavailable
from tests.chaos import trees
from tests.chaos.arena import Arena
from tests.chaos.faults import (
    Cut,
    Fault,
    Flush,
    Freeze,
    Kill,
    KillRunner,
    Moment,
    RedisGone,
    Repeated,
    Replayed,
    Terminate,
    Unreadable,
    Weather,
    target_of,
)
from tests.chaos.messages import UNREADABLE, deliver, repeat, replay
from tests.chaos.proxy import Passing

_log = logging.getLogger("sluice.chaos")


async def replace(place: Arena, names: Iterable[str], bug: str) -> None:
    """Kill these services; what is started instead has the planted bug, or none where it is empty."""
    place.armoury.plant(bug)
    for name in names:
        await inflict(place, Kill(name))
    await place.heal()


async def inflict(place: Arena, fault: Fault) -> bool:
    """Do it, and return when it is over: whether it struck. A process that is down already is spared."""
    match fault:
        case Kill(name) | KillRunner(name) | Freeze(name) | Terminate(name):
            process = place.services[name]
            return process.running and await _hit(place, process, fault)
        case Repeated(count):
            return await repeat(place, list(place.tap.heard)[-count:]) > 0
        case Replayed(count, seed):
            return await replay(place, list(place.tap.bodies), Random(seed), most=count) > 0
        case Unreadable():
            await deliver(place, UNREADABLE)
        case Weather() | Cut() | Flush() | RedisGone():
            await _disturb(place, fault)
    return True


async def _hit(place: Arena, process: ChildProcess, fault: Kill | KillRunner | Freeze | Terminate) -> bool:
    match fault:
        case Kill():
            await process.kill()
        case KillRunner():
            return _kill_runner(place, process)
        case Freeze():
            await _freeze(place, process, fault.seconds)
        case Terminate():
            await _terminate(place, process)
    return True


async def _disturb(place: Arena, fault: Weather | Cut | Flush | RedisGone) -> None:
    match fault:
        case Weather():
            await _weather(place, fault)
        case Cut(link, half):
            with place.damage.lasting(link, detail=str(fault)):
                place.links[link].half_close() if half else place.links[link].reset()
        case Flush():
            async with place.redis() as redis:
                await redis.flushall()
        case RedisGone(seconds):
            await _replace_redis(place, seconds)


async def perform(place: Arena, moments: Iterable[Moment], struck: list[Moment]) -> None:
    """A whole schedule, from now on; returns when the last of it is over. A target that an earlier fault still holds is
    spared: to end a process takes its time.

    struck: gets what was done, as it is over.
    """
    began, held = monotonic(), set[str]()

    async def act(moment: Moment, target: str) -> None:
        held.add(target)
        try:
            if await inflict(place, moment.fault):
                struck.append(moment)
        except (RedisError, Unavailable, Overloaded, StartFailedError):
            _log.warning("it was not carried out: %s", moment, exc_info=True)  # this machine is too busy for it
        finally:
            held.discard(target)

    async with asyncio.TaskGroup() as group:
        for moment in moments:
            await asyncio.sleep(max(0.0, began + moment.at - monotonic()))
            if (target := target_of(moment.fault)) not in held:
                group.create_task(act(moment, target))


def _kill_runner(place: Arena, worker: ChildProcess) -> bool:
    """The shared one: the first child of the worker."""
    runners = trees.tree(worker.pid)[1:2]
    for pid in runners:
        place.damage.died("runner", pid, "killed")
        trees.send([pid], signal.SIGKILL)
    return bool(runners)


async def _freeze(place: Arena, process: ChildProcess, seconds: float) -> None:
    pids = trees.tree(process.pid)
    with place.damage.lasting("freeze", pid=process.pid, detail=process.name):
        trees.send(pids, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            trees.send(pids[::-1], signal.SIGCONT)


async def _terminate(place: Arena, process: ChildProcess) -> None:
    with place.damage.lasting("drain", pid=process.pid, detail=process.name):
        how = await process.stop()
    if how is not None and how.code == -signal.SIGKILL:
        place.damage.overdue.append(process.name)


async def _weather(place: Arena, weather: Weather) -> None:
    what = "slow" if isinstance(weather.condition, Passing) else weather.link
    with place.damage.lasting(what, detail=str(weather.condition)):
        async with place.links[weather.link].under(weather.condition):
            await asyncio.sleep(weather.seconds)


async def _replace_redis(place: Arena, seconds: float) -> None:
    process = place.backends.redis.process
    if process is None:
        raise RuntimeError("this Redis is not ours to kill")
    with place.damage.lasting("cache", detail="killed"):
        await process.kill()
        await asyncio.sleep(seconds)
        await process.start()
