"""Equal work is run once: who asks for what was done gets it, who asks for what is under way joins it, else one leads.

Called by `posting` for jobs that can be shared (they have a cache key). One look into Redis says which of the three a
request is. A leader publishes its job and then confirms the flight. Who joins one that is not confirmed publishes the
same message under its id first: its leader may have died in between, and the 202 must be as good as any other. A flight
whose job turns out to be over, because its end was never told to Redis, is led anew.

Without Redis every request runs its own job.
"""

import asyncio
from collections import OrderedDict
from dataclasses import replace
from functools import partial

from prometheus_client import Counter

from services.gateway.aside import Aside, wind_up
from services.gateway.http.answers import Accepted
from services.gateway.http.problems import GONE, Problem
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.submit import Submitter
from services.gateway.statistics.usage import Usage
from shared.cache.contract import Flight, Flights, Hit, Joined, Led, Recent
from shared.cache.lifetimes import UNCONFIRMED_TTL_SECONDS
from shared.clock import MILLISECONDS, Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.ids import IssuedId
from shared.models.envelope import Envelope, MalformedEnvelope
from shared.models.job import Job, JobSpec
from shared.models.public import Snapshot, snapshot
from shared.values import value

MISS = "sluice; fwd=miss"
COLLAPSED = "sluice; fwd=miss; collapsed"
REFRESHED = "sluice; fwd=request"
UNAVAILABLE = "sluice; fwd=miss; detail=unavailable"
"""Values of Cache-Status (RFC 9211); a hit's has its time to live."""
MAX_ROUNDS = 3
"""Flights found to be over, in a row, before a request runs by itself."""
MAX_REMEMBERED = 4_096


class Sharing:
    """The part of one gateway process in single flights. answers: counts what the cache said."""

    def __init__(
        self,
        *,
        flights: Flights,
        submitter: Submitter,
        statuses: Statuses,
        finished: Finished,
        recent: Recent,
        aside: Aside,
        answers: Counter,
        usage: Usage,
        clock: Clock,
    ) -> None:
        self._flights = flights
        self._submitter = submitter
        self._statuses = statuses
        self._finished = finished
        self._recent = recent
        self._aside = aside
        self._answers = answers
        self._usage = usage
        self._clock = clock
        self._accepting: dict[str, asyncio.Task[None]] = {}
        self._accepted: OrderedDict[str, None] = OrderedDict()

    async def propose(self, spec: JobSpec, *, refresh: bool) -> "Given | Flying":
        """How the request for `spec` is met. refresh: by a run of its own, whatever is known."""
        try:
            return await (self._lead(spec) if refresh else self._find(spec))
        except (CacheUnavailable, Overloaded):
            return self._fly(spec, "unavailable", UNAVAILABLE)

    async def accept(self, spec: JobSpec) -> None:
        """Have the job accepted: once in this process, however many wait for it. Raises Problem."""
        if spec.id in self._accepted:
            return
        accepting = self._accepting.get(spec.id)
        if accepting is None:
            accepting = asyncio.create_task(self._accept(spec), name=f"accept {spec.id}")
            self._accepting[spec.id] = accepting
            accepting.add_done_callback(partial(self._settled, spec.id))
        await asyncio.shield(accepting)

    def withdraw(self, spec: JobSpec) -> None:
        """The job will not be accepted: let no one join it."""
        assert spec.cache_key is not None
        self._aside.do(self._flights.forget(spec.cache_key, spec.id), "withdraw a flight")

    async def aclose(self) -> None:
        """Return when what is being accepted was, or was given up: who joins it later publishes it."""
        await wind_up(self._accepting.values())

    # Entering

    async def _lead(self, spec: JobSpec) -> "Flying":
        assert spec.cache_key is not None
        await self._flights.lead(spec.cache_key, _flight(spec), ttl_seconds=UNCONFIRMED_TTL_SECONDS)
        return self._fly(spec, "refresh", REFRESHED)

    async def _find(self, spec: JobSpec) -> "Given | Flying":
        assert spec.cache_key is not None
        flight, over = _flight(spec), ""
        for _ in range(MAX_ROUNDS):
            match await self._flights.enter(spec.cache_key, flight, ttl_seconds=UNCONFIRMED_TTL_SECONDS, over=over):
                case Hit() as hit:
                    return self._hit(spec, hit)
                case Joined() as joined:
                    met = await self._join(spec, joined)
                    if met is not None:
                        return met
                    over = joined.flight.id
                case Led():
                    break
        return self._fly(spec, "miss", MISS)

    def _fly(self, spec: JobSpec, answer: str, cache_status: str, *, leads: bool = True) -> "Flying":
        self._answers.labels(answer).inc()
        return Flying(self, spec, cache_status, self._submitter.takes_seconds, leads)

    def _hit(self, spec: JobSpec, hit: Hit) -> "Given":
        self._answers.labels("hit").inc()
        self._usage.hit(spec.tenant, spec.handler)
        self._finished.put(hit.snapshot)
        headers = {"Cache-Status": f"sluice; hit; ttl={hit.ttl_seconds}", "Age": str(hit.age_seconds)}
        return Given(Accepted(hit.snapshot, headers), expires_at=0)

    async def _join(self, spec: JobSpec, joined: Joined) -> "Given | Flying | None":
        """None for a flight that is over, or that cannot be read."""
        other = _read(spec, joined.flight)
        try:
            issued = self._statuses.verify(joined.flight.id, spec.tenant)
        except Problem:
            return None
        if other is None:
            return None
        if not joined.confirmed:
            return self._fly(other, "collapsed", COLLAPSED, leads=False)
        state = await self._under_way(other, issued)
        if state is None:
            return None
        self._answers.labels("collapsed").inc()
        return Given(Accepted(state, {"Cache-Status": COLLAPSED}), other.expires_at)

    async def _under_way(self, spec: JobSpec, issued: IssuedId) -> Snapshot | None:
        """The state of a job that the broker has, or None if it is over."""
        if self._clock.now() >= spec.expires_at:
            return None
        queued = snapshot(Job.queued(spec))
        try:
            known = await self._statuses.known(issued)
        except Problem as problem:
            return None if problem.type is GONE else queued
        if known is None or known.order <= queued.order:
            return queued
        return None if known.terminal else known

    # Accepting

    async def _accept(self, spec: JobSpec) -> None:
        assert spec.cache_key is not None
        job = await self._submitter.accept(spec)
        left = max(1, (spec.expires_at - self._clock.now()) // MILLISECONDS)
        self._aside.do(self._flights.confirm(spec.cache_key, spec.id, ttl_seconds=left), "confirm a flight")
        self._recent.add(spec.tenant, snapshot(job))

    def _settled(self, id: str, accepting: asyncio.Task[None]) -> None:
        """Remember it for those who read the flight before it was confirmed."""
        del self._accepting[id]
        if accepting.cancelled() or accepting.exception() is not None:
            return
        self._accepted[id] = None
        if len(self._accepted) > MAX_REMEMBERED:
            self._accepted.popitem(last=False)


@value(frozen=True, slots=True)
class Given:
    """Nothing is left to do: the job is over, or was accepted."""

    accepted: Accepted
    expires_at: int

    @property
    def id(self) -> str:
        return self.accepted.state.id

    @property
    def takes_seconds(self) -> int:
        return 0

    async def accept(self) -> Accepted:
        return self.accepted

    def withdraw(self) -> None:
        """It is not this request's to take back."""


@value(frozen=True, slots=True)
class Flying:
    """A job for the broker to have. leads: it is this request's own."""

    sharing: Sharing
    spec: JobSpec
    cache_status: str
    takes_seconds: int
    leads: bool

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def expires_at(self) -> int:
        return self.spec.expires_at

    async def accept(self) -> Accepted:
        await self.sharing.accept(self.spec)
        return Accepted(snapshot(Job.queued(self.spec)), {"Cache-Status": self.cache_status})

    def withdraw(self) -> None:
        if self.leads:
            self.sharing.withdraw(self.spec)


def _read(spec: JobSpec, flight: Flight) -> JobSpec | None:
    """The job of a flight as its leader publishes it. Its input is the one at hand, which makes the two equal."""
    try:
        other = Envelope.decode(flight.head).spec
    except MalformedEnvelope:
        return None
    if (other.id, other.tenant, other.cache_key) != (flight.id, spec.tenant, spec.cache_key):
        return None
    return replace(other, input=spec.input)


def _flight(spec: JobSpec) -> Flight:
    """All of the job but its input, which whoever joins has as well."""
    return Flight(spec.id, Envelope(replace(spec, input=b"null")).encode())
