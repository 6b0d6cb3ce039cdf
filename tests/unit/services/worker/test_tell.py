"""What is told of a job, and what it leaves to equal requests."""

from dataclasses import dataclass

import pytest

from services.worker.tell import Telling
from shared.cache.contract import Flight, Hit, Joined, Led, Result
from shared.cache.memory import MemoryCache
from shared.clock import ManualClock
from shared.errors import BrokerUnavailable
from shared.messaging.memory import MemoryBroker, MemoryPublisher, Outage
from shared.messaging.topics import Names, Subscription, Topology
from shared.models.job import ErrorCode, Job, JobError, JobSpec
from shared.models.public import Snapshot, snapshot

KEY, CACHE_FOR = "c" * 64, 100
TOPIC = Names().events
NO = JobError(ErrorCode.REJECTED, "no", retryable=False)


class Recorder(MemoryCache):
    """Remembers the order of what it was told."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.calls: list[str] = []

    async def tell(self, snapshot: Snapshot) -> None:
        self.calls.append("tell")
        await super().tell(snapshot)

    async def land(self, key: str, result: Result) -> None:
        self.calls.append("land")
        await super().land(key, result)

    async def forget(self, key: str, id: str) -> None:
        self.calls.append("forget")
        await super().forget(key, id)


@dataclass(frozen=True, slots=True)
class Worker:
    clock: ManualClock
    cache: Recorder
    broker: MemoryBroker
    telling: Telling

    def running(self, cache_key: str | None = KEY) -> Job:
        now = self.clock.now()
        spec = JobSpec("job_1", "acme", "h", "q", b"1", now, now + 1_000_000, 30.0, 3)
        if cache_key is not None:
            spec = JobSpec(
                "job_1",
                "acme",
                "h",
                "q",
                b"1",
                now,
                now + 1_000_000,
                30.0,
                3,
                cache_key=KEY,
                cache_for_seconds=CACHE_FOR,
            )
        return Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=now)

    async def enter(self) -> Hit | Joined | Led:
        return await self.cache.enter(KEY, Flight("job_2", b"{}"), ttl_seconds=60)

    @property
    def events(self) -> int:
        return len(self.broker.undelivered("events"))


@pytest.fixture
async def worker() -> Worker:
    clock = ManualClock()
    cache, broker = Recorder(clock), MemoryBroker(clock)
    broker.apply(Topology((TOPIC,), (Subscription("events", TOPIC, 10, 1, 60),)))
    telling = Telling(
        teller=cache,
        landing=cache,
        publisher=MemoryPublisher(broker),
        topic=TOPIC,
        clock=clock,
        publish_seconds=5.0,
    )
    await cache.enter(KEY, Flight("job_1", b"{}"), ttl_seconds=60)
    return Worker(clock, cache, broker, telling)


async def test_a_result_is_left_with_the_age_it_has_by_now(worker: Worker) -> None:
    over = worker.running().succeeded(b'"x"', at=worker.clock.now())
    await worker.clock.advance(30)
    await worker.telling.over(over)
    assert await worker.enter() == Hit(snapshot(over), 30, 70)
    assert worker.events == 1


async def test_a_worker_whose_clock_is_behind_leaves_it_for_its_time_at_most(worker: Worker) -> None:
    over = worker.running().succeeded(b'"x"', at=worker.clock.now() + 3_600_000)
    await worker.telling.over(over)
    assert await worker.enter() == Hit(snapshot(over), 0, CACHE_FOR)


async def test_what_is_told_again_too_late_is_not_left(worker: Worker) -> None:
    over = worker.running().succeeded(b'"x"', at=worker.clock.now())
    await worker.clock.advance(CACHE_FOR)
    await worker.telling.over(over)
    assert await worker.enter() == Led()


@pytest.mark.parametrize("end", ["failed", "canceled", "expired"])
async def test_any_other_end_lets_the_next_lead(worker: Worker, end: str) -> None:
    job, now = worker.running(), worker.clock.now()
    over = {"failed": job.failed(NO, at=now), "canceled": job.canceled(at=now), "expired": job.expired(at=now)}[end]
    await worker.telling.over(over)
    assert await worker.enter() == Led()


async def test_a_job_that_runs_or_waits_keeps_its_flight(worker: Worker) -> None:
    job = worker.running()
    await worker.telling.running(job)
    await worker.telling.running(job.waiting(NO, until=worker.clock.now() + 1, at=worker.clock.now()))
    assert isinstance(await worker.enter(), Joined)


async def test_a_job_that_is_not_shared_leaves_nothing(worker: Worker) -> None:
    await worker.telling.over(worker.running(cache_key=None).succeeded(b'"x"', at=worker.clock.now()))
    assert worker.cache.calls == ["tell"]
    assert isinstance(await worker.enter(), Joined)


@pytest.mark.parametrize(("succeeds", "act"), [(True, "land"), (False, "forget")])
async def test_who_is_woken_and_asks_again_meets_no_flight_that_is_over(
    worker: Worker, succeeds: bool, act: str
) -> None:
    job, now = worker.running(), worker.clock.now()
    await worker.telling.over(job.succeeded(b'"x"', at=now) if succeeds else job.failed(NO, at=now))
    assert worker.cache.calls == [act, "tell"]


async def test_without_redis_the_event_is_published_all_the_same(worker: Worker) -> None:
    worker.cache.stop()
    await worker.telling.over(worker.running().succeeded(b'"x"', at=worker.clock.now()))
    assert worker.events == 1


async def test_without_the_broker_it_is_told_again(worker: Worker) -> None:
    worker.broker.outage = Outage.UNREACHABLE
    with pytest.raises(BrokerUnavailable):
        await worker.telling.over(worker.running().succeeded(b'"x"', at=worker.clock.now()))
