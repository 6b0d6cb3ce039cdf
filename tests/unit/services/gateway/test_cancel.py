"""Canceling: what is written in each state, who wins a race, and who tells."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from services.gateway.aside import Aside
from services.gateway.http.problems import Problem
from services.gateway.jobs.cancel import Cancels, Changed, Found, Telling
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.status import Statuses
from services.gateway.settings import Settings
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryCancellations
from shared.clock import MILLISECONDS, ManualClock
from shared.config import Secret
from shared.errors import CommitUnknown
from shared.ids import IdKeys, Ids
from shared.messaging.memory import MemoryBroker, MemoryPublisher
from shared.messaging.topics import Names, Subscription, Topology
from shared.models.canceling import canceled
from shared.models.job import ErrorCode, Job, JobError, JobSpec, JobStatus, Retention
from shared.models.public import snapshot
from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.memory import MemoryDatabase, MemoryJobs

SETTINGS = Settings(id_keys=Secret("unused"))
IDS = Ids(IdKeys({1: b"k" * 32}))
FAULT = JobError(ErrorCode.HANDLER_ERROR, "no", retryable=True)
EVENTS = Names(SETTINGS.prefix).events
LISTENER = Subscription("listener", EVENTS, 10, 1, 10)


class Raced(MemoryJobs):
    """Somebody else writes between each of our reads and writes, `rivals` times; then replies are lost."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.rivals: list[Callable[[Job | None], Job]] = []
        self.replies_lost = 0

    async def read(self, id: str) -> Stored[Job] | None:
        found = await super().read(id)
        if self.rivals:
            job = self.rivals.pop(0)(found.value if found else None)
            if found is None:
                await super().create(job)
            else:
                await super().update(job, found.version)
        return found

    async def create(self, job: Job) -> WriteResult:
        return self._reply(await super().create(job))

    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        return self._reply(await super().update(job, held))

    def _reply(self, result: WriteResult) -> WriteResult:
        if self.replies_lost and isinstance(result, Version):
            self.replies_lost -= 1
            raise CommitUnknown("reply lost")
        return result


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.cache = MemoryCache(self.clock)
        self.store = Raced(MemoryDatabase(self.clock))
        self.calls = MemoryCancellations(self.cache)
        self.broker = MemoryBroker(self.clock)
        self.broker.apply(Topology((EVENTS,), (LISTENER,)))
        self.aside = Aside()
        finished = Finished(1_000_000, self.clock)
        statuses = Statuses(
            SETTINGS,
            ids=IDS,
            finished=finished,
            cache=self.cache,
            store=self.store,
            retention=Retention(),
            clock=self.clock,
        )
        self.telling = Telling(
            SETTINGS,
            teller=self.cache,
            flights=self.cache,
            caller=self.calls,
            publisher=MemoryPublisher(self.broker),
            aside=self.aside,
            clock=self.clock,
        )
        self.cancels = Cancels(
            statuses=statuses,
            finished=finished,
            store=self.store,
            telling=self.telling,
            retention=Retention(),
            clock=self.clock,
        )
        self.issued = IDS.issue("job", "acme", created_at=self.clock.now(), lifetime_ms=86_400_000)
        now, id = self.clock.now(), self.issued.text
        self.spec = JobSpec(id, "acme", "h", "default", b"{}", now, now + 86_400_000, 30.0, 3, cache_key="key")

    def running(self) -> Job:
        return Job.queued(self.spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=self.clock.now())

    async def cancel(self) -> Changed | Found:
        return await self.cancels.cancel(self.issued, "acme")

    async def stored(self) -> Job:
        found = await self.store.read(self.issued.text)
        assert found is not None
        return found.value

    async def told(self, outcome: Changed | Found) -> list[str]:
        """The ids of the events that came of it."""
        await self.telling.tell(outcome, snapshot(outcome.job))
        await self.aside.aclose()
        messages = self.broker.undelivered("listener")
        assert all(message.attributes["type"] == "job.canceled" for message in messages)
        return [message.body.decode().split('"id":"')[1].split('"')[0] for message in messages]


async def test_a_job_known_by_its_id_gets_a_tombstone_that_the_worker_tells_of() -> None:
    b = Bench()
    outcome = await b.cancel()
    assert isinstance(outcome, Changed)
    assert outcome.job == await b.stored()
    assert (outcome.job.status, outcome.job.spec.known, outcome.job.attempt) == (JobStatus.CANCELED, False, 0)
    assert await b.told(outcome) == []
    assert await b.cache.fetch(b.issued.text) == snapshot(outcome.job)
    again = await b.cancel()
    assert again == Found(outcome.job)


@pytest.mark.parametrize("waits", ["delayed", "retry"])
async def test_a_waiting_job_is_canceled_and_told_by_the_gateway(waits: str) -> None:
    b = Bench()
    job = Job.scheduled(replace(b.spec, scheduled_for=b.clock.now() + 9))
    if waits == "retry":
        job = b.running().waiting(FAULT, until=b.clock.now() + 9, at=b.clock.now())
    await b.store.create(job)
    outcome = await b.cancel()
    assert isinstance(outcome, Changed)
    assert (await b.stored()).status is JobStatus.CANCELED
    assert await b.told(outcome) == [f"{b.issued.text}:job.canceled:{job.attempt}"]


async def test_a_running_job_gets_a_request_once_and_its_worker_is_called_each_time() -> None:
    b = Bench()
    await b.store.create(b.running())
    async with b.calls.calls("w") as heard:
        first = await b.cancel()
        assert isinstance(first, Changed)
        assert (first.job.status, first.job.cancel_requested_at) == (JobStatus.RUNNING, b.clock.now())
        assert await b.told(first) == []
        assert await anext(heard) == b.issued.text
        version = b.store._jobs.documents[b.issued.text][1]
        await b.clock.advance(1)
        second = await b.cancel()
        assert second == Found(first.job)
        assert b.store._jobs.documents[b.issued.text][1] == version, "a request must not renew the lease"
        await b.told(second)
        assert await anext(heard) == b.issued.text


async def test_a_job_whose_lease_has_lapsed_is_canceled_at_once() -> None:
    b = Bench()
    await b.store.create(b.running())
    await b.clock.advance(15)
    outcome = await b.cancel()
    assert isinstance(outcome, Changed)
    assert outcome.job.status is JobStatus.CANCELED
    assert await b.told(outcome) == [f"{b.issued.text}:job.canceled:1"]


async def test_a_job_that_is_over_stays_as_it_is() -> None:
    b = Bench()
    done = b.running().succeeded(b"1", at=b.clock.now())
    await b.store.create(done)
    assert await b.cancel() == Found(done)
    assert await b.stored() == done


async def test_a_finish_that_comes_first_stays() -> None:
    b = Bench()
    await b.store.create(b.running())
    b.store.rivals = [lambda job: job.succeeded(b"1", at=b.clock.now()) if job else b.running()]
    outcome = await b.cancel()
    assert isinstance(outcome, Found)
    assert outcome.job.status is JobStatus.SUCCEEDED


async def test_a_claim_that_comes_first_is_asked_to_stop() -> None:
    b = Bench()
    b.store.rivals = [lambda _: b.running()]
    outcome = await b.cancel()
    assert isinstance(outcome, Changed)
    assert (outcome.job.status, outcome.job.cancel_requested_at) == (JobStatus.RUNNING, b.clock.now())


async def test_renewals_in_between_cost_rounds_and_nothing_else() -> None:
    b = Bench()
    await b.store.create(b.running())
    b.store.rivals = [lambda job: job or b.running()] * 5
    assert isinstance(await b.cancel(), Changed)
    b.store.rivals = []
    await b.clock.advance(1)
    await b.store.update(b.running(), b.store._jobs.documents[b.issued.text][1])
    b.store.rivals = [lambda job: job or b.running()] * 100
    with pytest.raises(Problem) as refusal:
        await b.cancel()
    assert refusal.value.type.status == 503
    assert len(b.store.rivals) > 80, "bounded"


async def test_a_reply_that_was_lost_is_settled_by_looking() -> None:
    b = Bench()
    b.store.replies_lost = 1
    outcome = await b.cancel()
    assert isinstance(outcome, Found)
    assert outcome.job.status is JobStatus.CANCELED


async def test_a_store_that_is_away_is_503() -> None:
    b = Bench()
    b.store._database.fail()
    with pytest.raises(Problem) as refusal:
        await b.cancel()
    assert refusal.value.type.status == 503
    assert "Retry-After" in refusal.value.headers


async def test_what_is_past_its_lifetime_expired_and_then_is_gone() -> None:
    b = Bench()
    await b.clock.advance((b.issued.expires_at - b.clock.now()) / MILLISECONDS)
    outcome = await b.cancel()
    assert isinstance(outcome, Found)
    assert outcome.job.status is JobStatus.EXPIRED
    await b.clock.advance(8 * 86_400)
    with pytest.raises(Problem) as refusal:
        await b.cancel()
    assert refusal.value.type.status == 410


def test_no_state_is_canceled_twice() -> None:
    job = Bench().running()
    for lapsed in (True, False):
        for state in (job.succeeded(b"", at=1), job.failed(FAULT, at=1), job.canceled(at=1), job.expired(at=1)):
            assert canceled(state, lapsed=lapsed, at=2) is None
    assert canceled(job.cancel_requested(at=1), lapsed=False, at=2) is None
    over = canceled(job.cancel_requested(at=1), lapsed=True, at=2)
    assert over is not None
    assert (over.status, over.cancel_requested_at, over.finished_at) == (JobStatus.CANCELED, 1, 2)
