"""The faults that chaos is made of, as values, and seeded schedules of them. Pure; `arena` carries them out.

Each lasts a bounded time and heals by itself: a process that is killed is started again (`supervision`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from tests.chaos.proxy import Condition, Passing, Refusing, RepliesLost, Silent

Link = Literal["broker", "store", "cache"]
LINKS: Final[tuple[Link, ...]] = ("broker", "store", "cache")


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL, as a machine that is gone."""

    process: str


@dataclass(frozen=True, slots=True)
class KillRunner:
    """SIGKILL to the process in which a worker runs its handlers."""

    worker: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """SIGSTOP and later SIGCONT, of the process and all that it has started."""

    process: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM, as a deployment does."""

    process: str


@dataclass(frozen=True, slots=True)
class Weather:
    """The network to a backend is bad for a while."""

    link: Link
    condition: Condition
    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Every connection to a backend is reset, or half-closed by it, once."""

    link: Link
    half: bool = False


@dataclass(frozen=True, slots=True)
class Flush:
    """FLUSHALL."""


@dataclass(frozen=True, slots=True)
class RedisGone:
    """Redis is killed, and an empty one takes its place after a while."""

    seconds: float


Fault = Kill | KillRunner | Freeze | Terminate | Weather | Cut | Flush | RedisGone


Choose = Callable[[Random, str, "Cast"], Fault]
"""Draws a fault for a target."""


@dataclass(frozen=True, slots=True)
class Moment:
    """at: seconds from the start of the schedule."""

    at: float
    fault: Fault

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.fault}"


@dataclass(frozen=True, slots=True)
class Cast:
    """Whom a schedule may hit, by the names of their processes."""

    gateways: tuple[str, ...]
    workers: tuple[str, ...]
    schedulers: tuple[str, ...]
    lease_seconds: float


def schedule(rng: Random, seconds: float, cast: Cast, *, pace: float = 6.0) -> list[Moment]:
    """A schedule of about `seconds`, by time. What befalls one target never overlaps; different targets' faults do.

    pace: seconds between two faults of one target, about.
    """
    targets = [
        *((Random(rng.random()), _worker_faults, name) for name in cast.workers),
        *((Random(rng.random()), _gateway_faults, name) for name in cast.gateways),
        *((Random(rng.random()), _gateway_faults, name) for name in cast.schedulers),
        *((Random(rng.random()), _link_faults, link) for link in LINKS),
        (Random(rng.random()), _redis_faults, ""),
    ]
    moments = [moment for own, choose, target in targets for moment in _track(own, seconds, pace, choose, target, cast)]
    return sorted(moments, key=lambda moment: moment.at)


def _track(own: Random, seconds: float, pace: float, choose: Choose, target: str, cast: Cast) -> Iterator[Moment]:
    at = own.uniform(0.2, pace)
    while at < seconds:
        fault = choose(own, target, cast)
        yield Moment(round(at, 2), fault)
        at += lasts(fault) + own.uniform(0.5, 1.5) * pace


def lasts(fault: Fault) -> float:
    """Seconds until it is over."""
    return fault.seconds if isinstance(fault, Freeze | Weather | RedisGone) else 0.0


def _worker_faults(own: Random, target: str, cast: Cast) -> Fault:
    kind = own.choices(["kill", "runner", "freeze", "terminate"], weights=[3, 2, 3, 1])[0]
    if kind == "kill":
        return Kill(target)
    if kind == "runner":
        return KillRunner(target)
    if kind == "terminate":
        return Terminate(target)
    return Freeze(target, round(own.uniform(0.3, 2.0) * cast.lease_seconds, 2))


def _gateway_faults(own: Random, target: str, cast: Cast) -> Fault:
    kind = own.choices(["kill", "freeze", "terminate"], weights=[2, 2, 1])[0]
    if kind == "freeze":
        return Freeze(target, round(own.uniform(0.5, 4.0), 2))
    return Kill(target) if kind == "kill" else Terminate(target)


def _link_faults(own: Random, target: str, cast: Cast) -> Fault:
    link: Link = next(link for link in LINKS if link == target)
    conditions: Sequence[Condition] = (Passing(0.05), Refusing(), Silent(), RepliesLost())
    choice = own.randrange(len(conditions) + 2)
    if choice >= len(conditions):
        return Cut(link, half=choice > len(conditions))
    return Weather(link, conditions[choice], round(own.uniform(0.3, 3.0), 2))


def _redis_faults(own: Random, target: str, cast: Cast) -> Fault:
    return Flush() if own.random() < 0.6 else RedisGone(round(own.uniform(0.2, 3.0), 2))
