"""What is going on in each lane (a jobs topic): how much waits, how much is in flight, how fast it flows.

Whoever publishes to a lane or takes from it tells its own totals every few seconds (`LaneMeter` does); operators'
routes read what they come to. Totals of a process only grow, so telling twice is harmless: what counts is the
difference to what the same process told before.

| key | value | writer → reader | harmless twice because |
|---|---|---|---|
| `lane:{lane}` | messages waiting, about the oldest; what each process told last; 7 d | as above | totals, not steps |
| `lane:{lane}:flow:<n>` | messages in and out in ten seconds; 2 min | likewise | likewise |

Redis lost, or a process that died between its reports, makes the number that waits unknown or wrong. It is known again,
and right, from the moment that a worker finds the lane empty; before that it is None, not a guess. The rest is known
again within seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shared.clock import MILLISECONDS

LANE_TTL_SECONDS: Final = 7 * 86_400
FLOW_TTL_SECONDS: Final = 120
FLOW_SECONDS: Final = 10
"""That one count of the flow covers."""
FLOW_COUNTS: Final = 7
"""Counts that make a rate: six whole ones, and the one that is being filled."""
SILENT_SECONDS: Final = 15
"""A process that told nothing for so long is gone; what it held waits again."""
FORGET_SECONDS: Final = 86_400
"""After so long it is forgotten what a silent process had told."""
WARM_SECONDS: Final = 10
"""Everybody who is there has told within so long."""
QUIET_SECONDS: Final = 5
"""A lane is empty when one worker finds nothing and nobody has pulled anything for so long."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Messages of one lane that one process has seen since it started."""

    published: int = 0
    pulled: int = 0
    returned: int = 0
    """Given back, to come again."""
    settled: int = 0
    """Acknowledged."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What one worker has of a lane now. Times are publish times, in milliseconds since the epoch."""

    in_flight: int
    oldest_at: int | None = None
    """Of the oldest message in flight."""
    newest_at: int | None = None
    """Of the newest message pulled so far: what waits behind it is hardly older."""
    empty: bool = False
    """The last pulls waited to their end and brought nothing."""


@dataclass(frozen=True, slots=True)
class LaneReport:
    """What a process tells of one lane."""

    lane: str
    totals: Totals
    hold: Hold | None = None
    """None: the process takes nothing from the lane."""
    published_from: int | None = None
    """When the first was published of those that the last report did not have."""
    started_at: int | None = None
    """When the process first had to do with the lane, if that was after its start: then all that it tells is new."""


class LaneJournal(Protocol):
    """What whoever publishes or takes needs."""

    async def tell(self, process: str, started_at: int, reports: Sequence[LaneReport], *, at: int) -> None:
        """Keep the reports of one process at `at`.

        started_at: when the process did; another one may have had its name before.
        Raises CacheUnavailable; any of them may have been kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """What the reports come to. None: nobody knows."""

    backlog: int | None = None
    """Messages that no worker holds."""
    oldest_age_seconds: float | None = None
    """Of the oldest message that waits or is in flight; 0 where there is none."""
    in_flight: int | None = None
    rate_in_per_second: float | None = None
    """Published, over about the last minute."""
    rate_out_per_second: float | None = None
    """Acknowledged, likewise."""
    workers: int | None = None
    """Processes that take from the lane."""


class LaneBoard(Protocol):
    """What whoever shows lanes needs."""

    async def figures(self, lanes: Sequence[str], *, at: int) -> Sequence[LaneFigures]:
        """Of each lane at `at`, in their order. Raises CacheUnavailable."""
        ...


TAKES_NOTHING: Final = -1
GONE: Final = -2


@dataclass(slots=True)
class ProcessRecord:
    """What a process told last.

    in_flight: TAKES_NOTHING for who only publishes; GONE once the process was taken for dead and what it held counts
    as waiting again.
    """

    started_at: int
    seen_at: int
    totals: Totals
    in_flight: int
    oldest_at: int | None

    def silent(self, at: int) -> bool:
        return at - self.seen_at >= SILENT_SECONDS * MILLISECONDS


@dataclass(slots=True)
class LaneRecord:
    """A lane as it is kept. Times are milliseconds since the epoch."""

    since: int
    waiting: int = 0
    """Below zero for as long as takers have told before publishers."""
    known: bool = False
    """Whether `waiting` is more than what changed since `since`."""
    front_at: int | None = None
    """Publish time of about the oldest message that waits."""
    pulled_at: int | None = None
    processes: dict[str, ProcessRecord] = field(default_factory=dict)
    flow: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Messages in and out, by the number of the ten seconds."""


def flow_number(at: int) -> int:
    return at // (FLOW_SECONDS * MILLISECONDS)


def flow_numbers(at: int) -> range:
    """Those that count for a rate at `at`."""
    return range(flow_number(at) - FLOW_COUNTS + 1, flow_number(at) + 1)


def figures_of(record: LaneRecord | None, at: int) -> LaneFigures:
    """What a lane's record comes to at `at`."""
    if record is None:
        return LaneFigures()
    known_for = (at - record.since) / MILLISECONDS
    warm = known_for >= WARM_SECONDS
    takers = [each for each in record.processes.values() if each.in_flight >= 0]
    present = [each for each in takers if not each.silent(at)]
    lost = sum(each.in_flight for each in takers if each.silent(at))
    backlog = max(0, record.waiting + lost) if record.known else None
    into, out = _rates(record, at, known_for) if warm else (None, None)
    return LaneFigures(
        backlog=backlog,
        oldest_age_seconds=_oldest(record, present, backlog, at) if warm else None,
        in_flight=sum(each.in_flight for each in present) if warm else None,
        rate_in_per_second=into,
        rate_out_per_second=out,
        workers=len(present) if warm else None,
    )


def _oldest(record: LaneRecord, present: Sequence[ProcessRecord], backlog: int | None, at: int) -> float | None:
    times = [each.oldest_at for each in present if each.oldest_at is not None]
    if backlog and record.front_at is not None:
        times.append(record.front_at)
    if times:
        return max(0.0, (at - min(times)) / MILLISECONDS)
    return 0.0 if backlog == 0 else None


def _rates(record: LaneRecord, at: int, known_for: float) -> tuple[float, float]:
    numbers = flow_numbers(at)
    covered = (at - numbers[0] * FLOW_SECONDS * MILLISECONDS) / MILLISECONDS
    seconds = min(covered, known_for)
    counts = [record.flow.get(number, (0, 0)) for number in numbers]
    return sum(into for into, _ in counts) / seconds, sum(out for _, out in counts) / seconds
