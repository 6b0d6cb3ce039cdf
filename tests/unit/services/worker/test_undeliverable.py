"""What the broker gave up on ends its job, unless somebody runs it or it is over; and everyone is told."""

from dataclasses import dataclass, replace

import pytest

from services.worker.measures import Measures
from services.worker.tell import Telling
from services.worker.undeliverable import UNREADABLE_SECONDS, Undeliverable
from shared.cache.contract import Flight, Led
from shared.cache.memory import MemoryCache
from shared.clock import ManualClock
from shared.messaging.contract import Acknowledge, Delivery, Message, Redeliver, Verdict
from shared.messaging.memory import MemoryBroker, MemoryPublisher
from shared.messaging.topics import Names, Subscription, Topology
from shared.models.envelope import Envelope
from shared.models.job import ErrorCode, Job, JobError, JobSpec, JobStatus
from shared.storage.contract import Version
from shared.storage.dead_letters import DeadLetterFilter
from shared.storage.memory import MemoryDatabase, MemoryJobs
from shared.storage.memory_letters import MemoryDeadLetters
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import Traces

NAMES = Names()
FAULT = JobError(ErrorCode.HANDLER_ERROR, "no", retryable=True)
LEASE_SECONDS = 15


@dataclass
class Bench:
    clock: ManualClock
    database: MemoryDatabase
    store: MemoryJobs
    cache: MemoryCache
    broker: MemoryBroker
    undeliverable: Undeliverable

    @property
    def spec(self) -> JobSpec:
        now = 1_750_000_000_000
        return JobSpec("job_1", "acme", "h", "default", b'{"a":1}', now, now + 100_000_000, 30.0, 3)

    def running(self, attempt: int = 1) -> Job:
        job = Job.queued(self.spec)
        now = self.clock.now()
        return job.claimed(attempt=attempt, fence="f", worker="w", lease_seconds=LEASE_SECONDS, at=now)

    async def meets(self, attempt: int = 1, body: bytes | None = None) -> Verdict:
        message = Message(Envelope(self.spec, attempt).encode() if body is None else body)
        return await self.undeliverable.handle(Delivery("dead", "a1", "m1", message, self.clock.now(), 101))

    async def has(self, job: Job) -> None:
        assert isinstance(await self.store.create(job), Version)

    async def job(self) -> Job:
        stored = await self.store.read("job_1")
        assert stored is not None
        return stored.value

    @property
    def events(self) -> int:
        return len(self.broker.undelivered("events"))


@pytest.fixture
def b() -> Bench:
    clock = ManualClock()
    database, cache, broker = MemoryDatabase(clock), MemoryCache(clock), MemoryBroker(clock)
    broker.apply(Topology((NAMES.events,), (Subscription("events", NAMES.events, 10, 1, 60),)))
    store = MemoryJobs(database)
    telling = Telling(
        teller=cache,
        landing=cache,
        publisher=MemoryPublisher(broker),
        topic=NAMES.events,
        clock=clock,
        publish_seconds=1.0,
    )
    undeliverable = Undeliverable(
        store,
        "worker-1",
        telling=telling,
        measures=Measures(Metrics(), clock),
        names=NAMES,
        traces=Traces(),
        clock=clock,
        chance=lambda: 0.5,
    )
    return Bench(clock, database, store, cache, broker, undeliverable)


async def test_a_job_that_nobody_ever_claimed_fails_as_undeliverable_and_is_told(b: Bench) -> None:
    assert await b.meets() == Acknowledge()
    job = await b.job()
    assert (job.status, job.attempt, job.started_at, job.attempts) == (JobStatus.FAILED, 0, None, ())
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == (ErrorCode.UNDELIVERABLE, False)
    assert job.spec == b.spec
    told = await b.cache.fetch("job_1")
    assert told is not None
    assert (told.terminal, told.order) == (True, job.order)
    assert b.events == 1
    [letter] = await MemoryDeadLetters(b.database).page(DeadLetterFilter("acme"), after=None, limit=10)
    assert letter.spec.id == "job_1"


async def test_a_message_that_comes_again_tells_again_and_changes_nothing(b: Bench) -> None:
    await b.meets()
    before = await b.job()
    await b.clock.advance(60)
    assert await b.meets() == Acknowledge()
    assert await b.job() == before
    assert b.events == 2


async def test_a_job_that_is_over_is_left_as_it_is(b: Bench) -> None:
    over = b.running().succeeded(b"1", at=b.clock.now())
    await b.has(over)
    assert await b.meets() == Acknowledge()
    assert await b.job() == over


async def test_a_job_that_runs_is_never_ended_under_its_worker(b: Bench) -> None:
    await b.has(b.running())
    await b.clock.advance(5)
    assert await b.meets() == Redeliver(LEASE_SECONDS - 5)
    assert (await b.job()).status is JobStatus.RUNNING


async def test_a_job_whose_worker_is_gone_fails_with_its_attempt(b: Bench) -> None:
    await b.has(b.running(attempt=2))
    await b.clock.advance(LEASE_SECONDS)
    assert await b.meets(attempt=2) == Acknowledge()
    job = await b.job()
    assert (job.status, job.attempt, [each.attempt for each in job.attempts]) == (JobStatus.FAILED, 2, [2])


async def test_a_retry_that_was_never_delivered_fails_with_the_history_of_its_attempts(b: Bench) -> None:
    waiting = b.running().waiting(FAULT, until=b.clock.now(), at=b.clock.now())
    await b.has(waiting)
    assert await b.meets(attempt=2) == Acknowledge()
    job = await b.job()
    assert (job.status, job.attempts) == (JobStatus.FAILED, waiting.attempts)
    assert job.order > waiting.order


async def test_an_old_message_of_a_job_that_waits_for_its_retry_ends_nothing(b: Bench) -> None:
    waiting = b.running().waiting(FAULT, until=b.clock.now() + 1_000, at=b.clock.now())
    await b.has(waiting)
    assert await b.meets(attempt=1) == Acknowledge()
    assert await b.job() == waiting
    assert b.events == 0


async def test_a_canceled_or_expired_job_ends_as_that(b: Bench) -> None:
    waiting = b.running().waiting(FAULT, until=b.clock.now(), at=b.clock.now())
    await b.has(waiting.cancel_requested(at=b.clock.now()))
    await b.meets(attempt=2)
    assert (await b.job()).status is JobStatus.CANCELED


async def test_past_its_lifetime_it_expired(b: Bench) -> None:
    await b.clock.advance(200_000)
    await b.meets()
    assert (await b.job()).status is JobStatus.EXPIRED


async def test_a_message_that_cannot_be_read_stays_for_who_can(b: Bench) -> None:
    for body in (b"", b"{", b'{"v": 2}'):
        assert await b.meets(body=body) == Redeliver(UNREADABLE_SECONDS)
    assert b.events == 0


async def test_a_store_that_is_away_costs_a_later_try(b: Bench) -> None:
    b.database.fail()
    verdict = await b.meets()
    assert isinstance(verdict, Redeliver)
    assert verdict.after_seconds > 0
    b.database.heal()
    assert await b.meets() == Acknowledge()
    assert (await b.job()).status is JobStatus.FAILED


async def test_equal_requests_no_longer_join_it(b: Bench) -> None:
    shared = replace(b.spec, cache_key="c" * 64, cache_for_seconds=60)
    await b.cache.lead("c" * 64, Flight("job_1", b"{}"), ttl_seconds=600)
    message = Message(Envelope(shared).encode())
    await b.undeliverable.handle(Delivery("dead", "a1", "m1", message, b.clock.now(), 101))
    assert isinstance(await b.cache.enter("c" * 64, Flight("job_2", b"{}"), ttl_seconds=60), Led)
