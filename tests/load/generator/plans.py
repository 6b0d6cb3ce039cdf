"""What a generator can be told to do, and what it has to say afterwards: plain values that travel as JSON.

Made by the rows, read by `generator.__main__`. Every plan has an end: in time, in count, or both.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, Literal, Self

from tests.load.histogram import Histogram

MAX_CONNECTIONS: Final = 15_000
"""Below what a process may usually open (20,000 here), with room for what it opens otherwise."""
MAX_SECONDS: Final = 120.0
_FAULTS_KEPT: Final = 20

Check = Literal["exact", "accepted"]
"""What an answer must be. exact: status 200 and the very body. accepted: 202 and an id never seen before."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as sent, and the body of its answer where that is known beforehand."""

    message: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """Every connection sends its next request when it has its answer: measures capacity.

    warm_seconds: sent but not counted, before `seconds` that are.
    count: of requests in all, then the plan is over whatever the time; 0 leaves it to the time.
    """

    mode: ClassVar[str] = "closed"
    host: str
    port: int
    exchanges: list[Exchange]
    connections: int
    warm_seconds: float
    seconds: float
    check: Check = "exact"
    count: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """Requests are due at a fixed rate, whether answers come or not; latency counts from when each was due.

    spin: take a core, so that each is sent to the microsecond; else timers do it, to the millisecond.
    """

    mode: ClassVar[str] = "open"
    host: str
    port: int
    exchanges: list[Exchange]
    connections: int
    rate: float
    seconds: float
    check: Check = "exact"
    spin: bool = True


@dataclass(frozen=True, slots=True)
class Jobs:
    """Keeps `in_flight` jobs going: POST, then one GET that waits, until each is seen to be terminal.

    at_once: the POST waits itself, and nothing is asked behind it but where its wait was too short.
    """

    mode: ClassVar[str] = "jobs"
    host: str
    port: int
    tokens: list[str]
    handler: str
    in_flight: int
    warm_seconds: float
    seconds: float
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Single:
    """One no-op job at a time, POST with `Prefer: wait`, and beside it one bare message at a time through the broker.

    Both pause for a random moment in between: the emulator delivers in beats, and a loop would fall into step with it.
    pubsub: host:port of the emulator. pulls, step_seconds: how many listen there, and how far out of step they begin.
    """

    mode: ClassVar[str] = "single"
    host: str
    port: int
    token: str
    handler: str
    count: int
    pause_seconds: float
    pubsub: str
    pulls: int
    step_seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Waiters:
    """Holds one waiting GET a job until all jobs are seen to be terminal.

    outputs: the JSON that each job, by its id, must come back with.
    per_s: how many come a second until all are there. A crowd gathers; a stampede would be turned away.
    """

    mode: ClassVar[str] = "waiters"
    host: str
    port: int
    source: str
    tokens: list[str]
    outputs: dict[str, str]
    per_s: float
    wait_seconds: int
    seconds: float


Plan = Closed | Open | Jobs | Single | Waiters
PLANS: Final[dict[str, type[Plan]]] = {kind.mode: kind for kind in (Closed, Open, Jobs, Single, Waiters)}


def encode(plan: Plan) -> dict[str, Any]:
    return {"mode": plan.mode, **asdict(plan)}


def decode(data: dict[str, Any]) -> Plan:
    """Raises KeyError for a mode that nobody knows, TypeError for fields that do not fit."""
    fields = dict(data)
    kind = PLANS[fields.pop("mode")]
    if "exchanges" in fields:
        fields["exchanges"] = [Exchange(**each) for each in fields["exchanges"]]
    return kind(**fields)


@dataclass(slots=True)
class Tally:
    """What came of a plan.

    answered: rightly, within the counted time. elapsed: the seconds that were counted.
    ended: requests or jobs that came to an end over all of the time, to divide costs by.
    refused: turned away with 429 or 503, which is no success, but no wrong answer either.
    wrong: answers that were not what they must be, over all of the time; some described in `faults`.
    cpu_seconds: of the generator itself within the counted time, to tell whether it was the limit.
    ids: of accepted jobs, with the exchange that each one answered.
    moments: microseconds since the epoch at which the answer for each id was there.
    """

    answered: int = 0
    elapsed: float = 0.0
    refused: int = 0
    wrong: int = 0
    faults: list[str] = field(default_factory=list)
    latencies: Histogram = field(default_factory=Histogram)
    others: Histogram = field(default_factory=Histogram)
    cpu_seconds: float = 0.0
    ended: int = 0
    asked_again: int = 0
    ids: dict[str, int] = field(default_factory=dict)
    moments: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.elapsed if self.elapsed else 0.0

    def fault(self, what: str) -> None:
        """Count one wrong answer."""
        self.wrong += 1
        if len(self.faults) < _FAULTS_KEPT:
            self.faults.append(what)

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__slots__}
        return {**data, "latencies": self.latencies.to_json(), "others": self.others.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        histograms = {name: Histogram.from_json(data[name]) for name in ("latencies", "others")}
        return cls(**{**data, **histograms})
