"""Counting what events say into statistics: by tenant, handler and minute, one document a tenant and minute.

Events are counted in windows, as all here, and acknowledged when the documents of their window are written. Each
document has this process for its only writer, so it is written whole, from memory, and never read. A tenant's work is
counted twice: under its name, and under EVERYONE, so that sums over all tenants are read as cheaply as one's.

What a crash between write and acknowledgement brings again is counted again; that is what "approximate" means in the
answers made of this. What comes again to the same process is known by its event's id and is not.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.aggregator.fan_in import OUTCOMES
from services.aggregator.measures import Measures
from services.aggregator.windows import Window, Windows
from shared.clock import Clock
from shared.models.batch_public import SEALED
from shared.models.event import RETRIED, Event
from shared.models.job import JobStatus
from shared.models.statistics import EVERYONE, FAILED, MAX_HANDLERS, OTHERS, Shard, Step, Tally, bucket, together
from shared.models.usage import USAGE, rows_of
from shared.storage.statistics import StatisticsWrites

KEY: Final = "statistics"
REMEMBERED: Final = 50_000
"""Ids of events that were counted last."""
OPEN_MS: Final = 600_000
"""A minute's document is written on for so long; what is told later goes into another."""
MOST_OPEN: Final = 5_000
"""Documents kept in memory; the oldest go, and what is told later goes into another."""

Place = tuple[str, int]
"""A tenant and the start of a minute."""


@dataclass(slots=True)
class Counts:
    """Of one handler in one minute, as they are counted."""

    counts: Counter[str] = field(default_factory=Counter)
    queue_time: Counter[int] = field(default_factory=Counter)
    run_time: Counter[int] = field(default_factory=Counter)

    def tally(self) -> Tally:
        return Tally(dict(self.counts), dict(self.queue_time), dict(self.run_time))


@dataclass(slots=True)
class Said:
    """What one window counts."""

    counted: dict[Place, dict[str, Counts]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def of(self, place: Place, handler: str) -> Counts:
        handlers = self.counted.setdefault(place, {})
        return handlers.setdefault(handler if handler in handlers or len(handlers) < MAX_HANDLERS else OTHERS, Counts())


@dataclass(frozen=True, slots=True)
class Facts:
    """What one event adds to the counts of a handler. Times in milliseconds; None where none is counted."""

    name: str
    amount: int = 1
    queue_time: int | None = None
    run_time: int | None = None


class Statistics:
    """kept_ms: how long a document is kept. token: draws ids for documents, which nobody else draws."""

    def __init__(
        self,
        store: StatisticsWrites,
        measures: Measures,
        clock: Clock,
        *,
        seconds: float,
        kept_ms: int,
        token: Callable[[], str],
    ) -> None:
        self._store = store
        self._measures = measures
        self._clock = clock
        self._seconds = seconds
        self._kept_ms = kept_ms
        self._token = token
        self._windows = Windows[Said](Said, self._write, clock, gather_seconds=seconds, at_once=1)
        self._shards: OrderedDict[Place, Shard] = OrderedDict()
        self._counted: OrderedDict[str, None] = OrderedDict()

    def count(self, event: Event) -> Window[Said] | None:
        """The window that the event was counted in; None where nothing of it is counted, or it was before."""
        if event.id in self._counted:
            return None
        rows = [(event.tenant, *each) for each in facts_of(event)] if event.type != USAGE else _usage(event)
        if not rows:
            return None
        window = self._windows.open(KEY)
        window.said.events.append(event.id)
        minute = Step.MINUTE.start(event.time)
        for tenant, handler, facts in rows:
            for whose in (tenant, EVERYONE):
                _add(window.said.of((whose, minute), handler), facts)
        return window

    async def aclose(self) -> None:
        await self._windows.aclose()

    async def _write(self, _key: str, said: Said) -> float:
        """Raises StoreUnavailable, Overloaded, after which nothing of the window is counted here: it comes again."""
        written = {place: self._with(place, found) for place, found in said.counted.items()}
        for shard in written.values():
            await self._store.put(shard)
        self._shards.update(written)
        self._counted.update(dict.fromkeys(said.events))
        while len(self._counted) > REMEMBERED:
            self._counted.popitem(last=False)
        self._close_old()
        self._measures.wrote_statistics(len(written))
        return self._seconds

    def _with(self, place: Place, found: Mapping[str, Counts]) -> Shard:
        """The document of that place with what was found."""
        tenant, at = place
        known = self._shards.get(place)
        new = {handler: counts.tally() for handler, counts in found.items()}
        tallies = _bounded(together([known.tallies if known else {}, new]))
        id = known.id if known else self._token()
        return Shard(id, tenant, Step.MINUTE, at, tallies, at + self._kept_ms)

    def _close_old(self) -> None:
        oldest = self._clock.now() - OPEN_MS
        for place in [place for place in self._shards if place[1] < oldest]:
            del self._shards[place]
        while len(self._shards) > MOST_OPEN:
            self._shards.popitem(last=False)


def facts_of(event: Event) -> list[tuple[str, Facts]]:
    """The handler that an event of a job or batch counts for, and what it adds; nothing where that is not known."""
    data = event.data
    handler = data.get("handler")
    if not handler:
        return []
    if event.type == SEALED:
        return [(handler, Facts("submitted", data["total"]))]
    if event.type == RETRIED:
        return [(handler, Facts("retries"))]
    status = OUTCOMES.get(event.type)
    if status is None:
        return []
    name = f"{FAILED}{data.get('error_code')}" if status is JobStatus.FAILED else str(status)
    return [(handler, Facts(name, 1, _queue_time(data), _run_time(data, status)))]


def _queue_time(data: Mapping[str, Any]) -> int | None:
    """Of a job that needed one attempt: behind a retry lies a pause that is nobody's queue."""
    started_at: int | None = data.get("started_at")
    if started_at is None or data.get("attempt") != 1:
        return None
    ready_at: int = max(data["created_at"], data.get("scheduled_for") or 0)
    return max(0, started_at - ready_at)


def _run_time(data: Mapping[str, Any], status: JobStatus) -> int | None:
    """Of the last attempt, where it came to its end."""
    started_at: int | None = data.get("started_at")
    finished_at: int | None = data.get("finished_at")
    if status not in {JobStatus.SUCCEEDED, JobStatus.FAILED} or started_at is None or finished_at is None:
        return None
    return max(0, finished_at - started_at)


def _usage(event: Event) -> list[tuple[str, str, Facts]]:
    return [
        (tenant, handler, Facts(name, amount))
        for tenant, handler, counts in rows_of(event)
        for name, amount in counts.items()
    ]


def _add(counts: Counts, facts: Facts) -> None:
    counts.counts[facts.name] += facts.amount
    if facts.queue_time is not None:
        counts.queue_time[bucket(facts.queue_time)] += 1
    if facts.run_time is not None:
        counts.run_time[bucket(facts.run_time)] += 1


def _bounded(tallies: dict[str, Tally]) -> dict[str, Tally]:
    """With those beyond MAX_HANDLERS as one."""
    names = [name for name in tallies if name != OTHERS]
    beyond = names[MAX_HANDLERS:]
    for name in beyond:
        tallies[OTHERS] = tallies.get(OTHERS, Tally()) + tallies.pop(name)
    return tallies
