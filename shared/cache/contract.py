"""The Protocols of the cache, each cut to one consumer's need.

| key | value | writer → reader | harmless twice because |
|---|---|---|---|
| `job:{id}` | snapshot; terminal up to 1 h, others 10 s | worker, gateway → gateway | lower orders replace nothing |
| `watch:{id}` | gateways that have waiters | gateway → worker's and gateway's tell | a set |
| `gw:<gateway>` | channel of snapshots, wakes waiters | worker, gateway → that gateway | waking twice is waking |
| `gateways` | channel of deletions | gateway → every gateway | forgetting twice is forgetting |
| `stream:{id}` | a running job's reports, the last 1,024, 1 h | worker → gateway | a report said twice is news twice |
| `progress:{id}` | the newest progress, 1 h | worker → gateway | the newest holder's replaces |
| `follow:{id}` | gateways that have followers of the stream | gateway → worker | a set |
| `hint:<gateway>` | channel: that stream has more | worker → that gateway | who looks twice finds nothing |
| `recent:<tenant>` | snapshots as accepted, the last 1,000, 1 h | gateway → gateway | lists drop doubles |
| `worker:<worker>` | channel: a cancel was asked for | gateway → that worker | it looks in the store |
| `result:{cache key}` | a succeeded job's snapshot, for `cache_for` | worker → gateway | an equal one replaces |
| `flight:{cache key}` | the job that equal requests join | gateway, worker → gateway | only its own job changes it |
| `idem:<hash>` | the id that a keyed request was answered, 1 h | gateway → gateway | a key has one id |
| `rate:<key id>` | what is spent of a key's bucket | gateway → gateway | spending twice is being careful |

Everything has a time to live; keys of one job share the hash tag `{id}`, those of equal work `{cache key}`: SHA-256 of
tenant, handler, its version and the canonical input. Commands made in the same moment travel together; that is inside
the adapters. Losing all of it costs latency, never truth: whoever misses something here asks the store.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.models.public import Snapshot


class Teller(Protocol):
    def tell(self, snapshot: Snapshot) -> Awaitable[object]:
        """Keep the snapshot and publish it to every gateway that watches the job. It begins with the call.

        Where a newer one is kept, nothing is changed or published: the watchers have that one. An equal one replaces.
        Telling a terminal snapshot ends the watch. Raises CacheUnavailable; it may have been told all the same.
        """
        ...


class Snapshots(Protocol):
    """What a gateway needs to answer reads and wake its waiters."""

    async def fetch(self, id: str) -> Snapshot | None:
        """What is kept. Raises CacheUnavailable."""
        ...

    async def fetch_all(self, ids: Sequence[str]) -> Sequence[Snapshot | None]:
        """What is kept of each, in the order of `ids`: a fraction of the cost of `watch`. Raises CacheUnavailable."""
        ...

    async def watch(self, gateway: str, ids: Sequence[str]) -> Sequence[Snapshot | None]:
        """Register `gateway` as watching each job, and read what is kept of it: answers in the order of `ids`.

        Both in one step for each job, so nothing told in between is missed. A job whose terminal snapshot is kept is
        not watched: nothing follows. Raises CacheUnavailable; some may be registered then.
        """
        ...

    async def restore(self, snapshots: Sequence[Snapshot]) -> None:
        """Keep each where nothing is kept of its job, and tell nobody. Raises CacheUnavailable; some may be kept then.

        For what was looked up elsewhere because Redis had lost it.
        """
        ...

    async def unwatch(self, gateway: str, id: str) -> None:
        """Wake `gateway` for this job no more. Raises CacheUnavailable."""
        ...

    def listen(self, gateway: str) -> AbstractAsyncContextManager[AsyncIterator[Snapshot]]:
        """Subscribe to the gateway's channel; entering returns when that stands, or raises CacheUnavailable.

        Snapshots come in the order told. A reader too slow for what it holds unread loses the connection. The iterator
        ends with CacheUnavailable when that is lost; whoever listens enters again and registers its waiters anew.
        """
        ...


@dataclass(frozen=True, slots=True)
class Flight:
    """A job that equal requests join instead of being run themselves."""

    id: str
    head: bytes
    """What a joiner needs to publish the job's message itself. Opaque here, and may hold any byte."""


@dataclass(frozen=True, slots=True)
class Led:
    """Nothing was known: from now on others join the caller's flight."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Equal work is under way."""

    flight: Flight
    confirmed: bool
    """The broker is known to have it. If not, who joins publishes it too: its leader may have died before."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Equal work was done."""

    snapshot: Snapshot
    age_seconds: int
    """Since the job finished."""
    ttl_seconds: int
    """For which the result will still be given."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a succeeded job leaves to equal requests."""

    snapshot: Snapshot
    cache_for_seconds: int
    """From the job's finish."""
    age_seconds: float
    """Since the job's finish, now."""


class Flights(Protocol):
    """What a gateway needs to run equal work once. `key` is the cache key."""

    async def enter(self, key: str, flight: Flight, *, ttl_seconds: int, over: str = "") -> Hit | Joined | Led:
        """The result, else the flight under way, else `flight` becomes the one under way: in one step.

        over: the id of a flight that is known to have ended, and so counts as none.
        ttl_seconds: how long `flight` is kept until it is confirmed.
        Raises CacheUnavailable; the caller may be leading then.
        """
        ...

    async def lead(self, key: str, flight: Flight, *, ttl_seconds: int) -> None:
        """Have others join `flight`, whatever is known or under way. Raises CacheUnavailable."""
        ...

    async def confirm(self, key: str, id: str, *, ttl_seconds: int) -> None:
        """The broker has the job. Keeps its flight for `ttl_seconds`; nothing, if it is not under way any more.

        Raises CacheUnavailable.
        """
        ...

    async def forget(self, key: str, id: str) -> None:
        """Drop whatever flight and result are this job's. Raises CacheUnavailable."""
        ...


class Landing(Protocol):
    """What whoever ends a job needs."""

    async def land(self, key: str, result: Result) -> None:
        """Keep the result for the rest of its time and end the job's flight.

        A job whose flight was taken over (by a refresh) or was lost leaves its result only where there is none: whoever
        asked for a newer one never gets an older one back. Raises CacheUnavailable.
        """
        ...

    async def forget(self, key: str, id: str) -> None:
        """Drop whatever flight and result are this job's. Raises CacheUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Replay:
    """What a request with an Idempotency-Key came to: it was accepted, under this id."""

    id: str
    fingerprint: str


class Replays(Protocol):
    """The cache in front of the store's `Idempotency`. Holds only what was accepted."""

    async def recall(self, hash: str) -> Replay | None:
        """Raises CacheUnavailable."""
        ...

    async def remember(self, hash: str, replay: Replay, *, ttl_seconds: int) -> None:
        """Raises CacheUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens taken from a bucket."""

    granted: int
    left: int
    """In the bucket, after this."""
    wait_seconds: float
    """Until the next token, when none was granted; else 0."""


class Rates(Protocol):
    """What a gateway needs to limit requests a key over all gateways."""

    async def lease(self, key: str, *, per_second: int, burst: int, wanted: int) -> Grant:
        """Take up to `wanted` tokens from the bucket of `key`, which holds `burst` and fills by `per_second`.

        Raises CacheUnavailable; some may have been taken then.
        """
        ...


class Eraser(Protocol):
    """What whoever deletes a job needs, beside the store."""

    async def erase(self, id: str) -> None:
        """Drop everything that is kept of the job, and have `deleted(id)` kept and heard by every gateway that listens.

        It outranks whatever is told later. Raises CacheUnavailable; it may have been erased all the same.
        """
        ...


class ReportKind(StrEnum):
    PROGRESS = "progress"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Report:
    """Something that a handler said while it ran."""

    kind: ReportKind
    attempt: int
    data: bytes
    """JSON."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Of a report in its stream. Numbers follow each other without a gap, unless reports were dropped between them."""

    epoch: int
    """Of the stream: another one if the stream was lost and began anew."""
    number: int
    """From 1."""


@dataclass(frozen=True, slots=True)
class StreamEntry:
    position: Position
    report: Report


class StreamWriter(Protocol):
    """What the worker needs to let clients follow a job."""

    async def append(self, id: str, reports: Sequence[Report], *, turn: int, dropped: int = 0) -> None:
        """Add reports (at least one) to the job's stream, and hint at them to the gateways that follow.

        turn: grows with each claim of the job. Nothing is added for a turn that is past, or once the job is known to be
        over here: whoever still reports then has lost it.
        dropped: reports that should have come before these. Their numbers are left out.
        Raises CacheUnavailable; it may have been added all the same.
        """
        ...


class Streams(Protocol):
    """What a gateway needs to let clients follow a job."""

    async def after(self, id: str, position: Position | None, *, limit: int) -> Sequence[StreamEntry]:
        """The oldest entries behind `position`, or from the start. Of another epoch, from its start.

        Raises CacheUnavailable.
        """
        ...

    async def progress(self, id: str) -> Report | None:
        """The newest progress. Raises CacheUnavailable."""
        ...

    async def follow(self, gateway: str, ids: Sequence[str]) -> None:
        """Have `gateway` hinted at what these jobs report, for FOLLOW_TTL_SECONDS. Raises CacheUnavailable."""
        ...

    def hints(self, gateway: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """The ids of followed jobs that have reported. Entering and losing it are as in `Snapshots.listen`."""
        ...


class Recent(Protocol):
    """The jobs that a tenant's gateways accepted lately: lists show what no worker has claimed yet."""

    def add(self, tenant: str, accepted: Snapshot) -> None:
        """List the job, and tell its snapshot as `Teller.tell` does. Returns at once; nobody hears whether it was done.

        It is said of every job that is accepted, so it costs no task, and its loss only a look-up.
        """
        ...

    async def forget(self, tenant: str, id: str) -> None:
        """Leave the job out from now on. Raises CacheUnavailable."""
        ...

    async def newest(self, tenant: str) -> Sequence[Snapshot]:
        """As they were accepted, the latest first, up to RECENT_JOBS. Raises CacheUnavailable."""
        ...


class CancelCaller(Protocol):
    async def call(self, worker: str, id: str) -> None:
        """Have `worker` look whether a cancel of the job was asked for. Raises CacheUnavailable.

        Only a hint: the request is in the store.
        """
        ...


class CancelCalls(Protocol):
    def calls(self, worker: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """The ids of jobs that `worker` is to look at. Entering and losing it are as in `Snapshots.listen`."""
        ...


class Probe(Protocol):
    async def ping(self) -> None:
        """Raises CacheUnavailable."""
        ...
