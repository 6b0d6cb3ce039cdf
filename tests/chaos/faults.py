"""The faults that chaos is made of, as values, and seeded schedules of them. Pure; `inflict` carries them out.

Each lasts a bounded time and heals by itself: a process that is killed is started again (`supervision`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from random import Random
from typing import Final, Literal

from tests.chaos.proxy import Condition, Passing, Refusing, RepliesLost, Silent

Link = Literal["broker", "store", "cache"]
LINKS: Final[tuple[Link, ...]] = ("broker", "store", "cache")
ACKNOWLEDGED_SECONDS: Final = 12.0
"""So long frozen, whoever holds messages loses them to others."""


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


@dataclass(frozen=True, slots=True)
class Repeated:
    """The broker delivers messages of the last jobs that ended or began once more."""

    count: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """Events that were told are told once more, in another order. seed: decides which, and the order."""

    count: int
    seed: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Messages that no worker can read are in the queue."""


Fault = Kill | KillRunner | Freeze | Terminate | Weather | Cut | Flush | RedisGone | Repeated | Replayed | Unreadable

Make = Callable[[Random], Fault]
"""Draws the particulars of one kind of fault."""


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
    aggregators: tuple[str, ...] = ()


def schedule(rng: Random, cast: Cast, *, pace: float) -> Iterator[Moment]:
    """An endless schedule, by time. What befalls one target never overlaps; different targets' faults do.

    Every target meets each kind of its faults once, in an order that is drawn; after that by their weights.

    pace: seconds between two faults of one target, about.
    """
    tracks = [_track(Random(rng.random()), pace, faults) for faults in _tracks(cast)]
    return merge(*tracks, key=lambda moment: moment.at)


def _tracks(cast: Cast) -> list[Sequence[tuple[int, Make]]]:
    """Of each target, the kinds of its faults with their weights."""
    return [
        *(_worker_faults(name, cast) for name in cast.workers),
        *(_process_faults(name) for name in (*cast.gateways, *cast.schedulers)),
        *(_process_faults(name, most_frozen=ACKNOWLEDGED_SECONDS) for name in cast.aggregators),
        *(_link_faults(link) for link in LINKS),
        _REDIS_FAULTS,
        _MESSAGE_FAULTS,
    ]


def _track(own: Random, pace: float, faults: Sequence[tuple[int, Make]]) -> Iterator[Moment]:
    weights, makes = zip(*faults, strict=True)
    once_each = own.sample(makes, len(makes))
    at = own.uniform(0.2, pace)
    while True:
        make = once_each.pop() if once_each else own.choices(makes, weights)[0]
        fault = make(own)
        yield Moment(round(at, 2), fault)
        at += lasts(fault) + own.uniform(0.5, 1.5) * pace


def lasts(fault: Fault) -> float:
    """Seconds until it is over."""
    return fault.seconds if isinstance(fault, Freeze | Weather | RedisGone) else 0.0


def target_of(fault: Fault) -> str:
    """Whom it befalls: faults of different targets may overlap."""
    match fault:
        case Kill(name) | KillRunner(name) | Freeze(name) | Terminate(name):
            return name
        case Weather() | Cut():
            return fault.link
        case Flush() | RedisGone():
            return "redis"
        case Repeated() | Replayed() | Unreadable():
            return "messages"


def kind_of(fault: Fault) -> str:
    """What to count it as."""
    match fault:
        case Kill(process) | Freeze(process) | Terminate(process):
            return f"{type(fault).__name__} {process.partition('-')[0]}"
        case Weather(link, condition):
            return f"{'Slow' if isinstance(condition, Passing) else type(condition).__name__} {link}"
        case Cut(link, half):
            return f"{'HalfClosed' if half else 'Reset'} {link}"
    return type(fault).__name__


def kinds(cast: Cast) -> set[str]:
    """All that a schedule holds."""
    rng = Random(0)
    return {kind_of(make(rng)) for faults in _tracks(cast) for _, make in faults}


def _seconds(own: Random, least: float, most: float) -> float:
    return round(own.uniform(least, most), 2)


def _worker_faults(name: str, cast: Cast) -> list[tuple[int, Make]]:
    return [
        (3, lambda _: Kill(name)),
        (2, lambda _: KillRunner(name)),
        (3, lambda own: Freeze(name, _seconds(own, 0.3 * cast.lease_seconds, 2.0 * cast.lease_seconds))),
        (1, lambda _: Terminate(name)),
    ]


def _process_faults(name: str, most_frozen: float = 4.0) -> list[tuple[int, Make]]:
    return [
        (2, lambda _: Kill(name)),
        (2, lambda own: Freeze(name, _seconds(own, 0.5, most_frozen))),
        (1, lambda _: Terminate(name)),
    ]


def _link_faults(link: Link) -> list[tuple[int, Make]]:
    return [
        (1, _weather(link, Passing(0.05))),
        (1, _weather(link, Refusing())),
        (1, _weather(link, Silent())),
        (1, _weather(link, RepliesLost())),
        (1, lambda _: Cut(link)),
        (1, lambda _: Cut(link, half=True)),
    ]


def _weather(link: Link, condition: Condition) -> Make:
    return lambda own: Weather(link, condition, _seconds(own, 0.3, 3.0))


_REDIS_FAULTS: Final[Sequence[tuple[int, Make]]] = (
    (3, lambda _: Flush()),
    (2, lambda own: RedisGone(_seconds(own, 0.2, 3.0))),
)
_MESSAGE_FAULTS: Final[Sequence[tuple[int, Make]]] = (
    (3, lambda own: Repeated(own.randint(5, 40))),
    (2, lambda own: Replayed(own.randint(20, 200), own.getrandbits(32))),
    (1, lambda _: Unreadable()),
)
