"""What `Teller` and `Snapshots` promise, on both caches."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest

from shared.cache.lifetimes import LIVE_TTL_SECONDS, TERMINAL_TTL_SECONDS, UNATTEMPTED_TTL_SECONDS, WATCH_TTL_SECONDS
from shared.models.public import Snapshot
from tests.contract.cache.cache_subject import Subject, state

NewJob = Callable[[], str]


async def heard_until(heard: AsyncIterator[Snapshot], last: Snapshot) -> list[Snapshot]:
    """What is heard before `last`."""
    before: list[Snapshot] = []
    async with asyncio.timeout(5):
        async for snapshot in heard:
            if snapshot == last:
                return before
            before.append(snapshot)
    raise AssertionError("the listening ended")


class Ear:
    """A gateway's listening, with a way to say what was heard so far: a last snapshot is told, and waited for."""

    def __init__(self, subject: Subject, gateway: str, heard: AsyncIterator[Snapshot], sentinel: str) -> None:
        self._subject, self._gateway, self._heard, self._sentinel = subject, gateway, heard, sentinel
        self._order = 0

    async def so_far(self) -> list[Snapshot]:
        """Since the last call. Snapshots come in the order told, so whatever was told before the sentinel is here."""
        self._order += 1
        last = state(self._sentinel, self._order)
        await self._subject.cache.watch(self._gateway, [self._sentinel])
        await self._subject.other.tell(last)
        return await heard_until(self._heard, last)


# Kept


async def test_nothing_is_known_of_a_job_that_was_never_told(subject: Subject, job: str) -> None:
    assert await subject.cache.fetch(job) is None


@pytest.mark.parametrize("body", [b"{}", b"\r\n\x00\xff" * 9, "{„ü“}".encode(), b"x" * 600_000], ids=len)
@pytest.mark.parametrize("terminal", [True, False])
async def test_what_is_told_is_fetched_by_others(subject: Subject, job: str, body: bytes, terminal: bool) -> None:
    told = Snapshot(job, 8_708, terminal, body)
    await subject.other.tell(told)
    assert await subject.cache.fetch(job) == told


async def test_a_lower_order_never_replaces_a_higher_one(subject: Subject, job: str) -> None:
    orders = [*range(1, 30), 4_097, 1 << 40]
    random.Random(5).shuffle(orders)
    for place, order in enumerate(orders):
        await subject.cache.tell(state(job, order))
        assert await subject.cache.fetch(job) == state(job, max(orders[: place + 1]))


async def test_an_older_terminal_snapshot_does_not_replace_either(subject: Subject, job: str) -> None:
    await subject.cache.tell(state(job, 12))
    await subject.cache.tell(state(job, 11, terminal=True))
    assert await subject.cache.fetch(job) == state(job, 12)


async def test_an_equal_order_replaces(subject: Subject, job: str) -> None:
    await subject.cache.tell(state(job, 3, body=b"first"))
    await subject.cache.tell(state(job, 3, body=b"second"))
    assert await subject.cache.fetch(job) == state(job, 3, body=b"second")


@pytest.mark.parametrize(
    ("order", "terminal", "ttl"),
    [
        (256, False, UNATTEMPTED_TTL_SECONDS),
        (4_608, False, LIVE_TTL_SECONDS),
        (1_025, True, TERMINAL_TTL_SECONDS),
        (5_121, True, TERMINAL_TTL_SECONDS),
    ],
)
async def test_a_snapshot_is_kept_for_its_time_and_no_longer(
    subject: Subject, job: str, order: int, terminal: bool, ttl: float
) -> None:
    await subject.cache.tell(state(job, order, terminal=terminal))
    await subject.age([job], ttl - 2)
    assert await subject.cache.fetch(job) is not None
    await subject.age([job], 3)
    assert await subject.cache.fetch(job) is None


@pytest.mark.parametrize(("order", "longer"), [(256, True), (4_095, True), (4_096, False), (4_608, False)])
async def test_watching_keeps_what_no_attempt_has_changed(subject: Subject, job: str, order: int, longer: bool) -> None:
    await subject.cache.tell(state(job, order))
    await subject.age([job], LIVE_TTL_SECONDS - 2)
    assert await subject.cache.watch("gw", [job]) == [state(job, order)]
    await subject.age([job], UNATTEMPTED_TTL_SECONDS - 2)
    assert (await subject.cache.fetch(job) is not None) == longer


async def test_telling_again_keeps_it_longer(subject: Subject, job: str) -> None:
    await subject.cache.tell(state(job, 4_608))
    await subject.age([job], LIVE_TTL_SECONDS - 2)
    await subject.cache.tell(state(job, 4_608))
    await subject.age([job], LIVE_TTL_SECONDS - 2)
    assert await subject.cache.fetch(job) == state(job, 4_608)


async def test_an_older_snapshot_does_not_keep_a_newer_one_longer(subject: Subject, job: str) -> None:
    await subject.cache.tell(state(job, 4_608))
    await subject.age([job], LIVE_TTL_SECONDS - 2)
    await subject.cache.tell(state(job, 256))
    await subject.age([job], 3)
    assert await subject.cache.fetch(job) is None


async def test_what_was_lost_is_restored_where_nothing_is_kept(subject: Subject, new_job: NewJob, gateway: str) -> None:
    lost, known, over = new_job(), new_job(), new_job()
    await subject.cache.tell(state(known, 4_608))
    await subject.cache.tell(state(over, 7, terminal=True))
    async with subject.cache.listen(gateway) as heard:
        ear = Ear(subject, gateway, heard, new_job())
        await subject.cache.watch(gateway, [lost, known])
        await subject.cache.restore([state(lost, 256), state(known, 256), state(over, 256)])
        assert await ear.so_far() == []
    kept = await subject.cache.fetch_all([lost, known, over])
    assert kept == [state(lost, 256), state(known, 4_608), state(over, 7, terminal=True)]


async def test_what_is_restored_is_kept_as_long_as_what_is_told(subject: Subject, new_job: NewJob) -> None:
    waiting, running = new_job(), new_job()
    await subject.cache.restore([state(waiting, 256), state(running, 4_608)])
    await subject.age([waiting, running], LIVE_TTL_SECONDS + 1)
    assert await subject.cache.fetch_all([waiting, running]) == [state(waiting, 256), None]
    await subject.age([waiting], UNATTEMPTED_TTL_SECONDS - LIVE_TTL_SECONDS)
    assert await subject.cache.fetch(waiting) is None


async def test_nothing_to_restore_is_nothing(subject: Subject) -> None:
    await subject.cache.restore([])


# Watched


async def test_watching_reads_what_is_kept_in_the_order_asked(subject: Subject, new_job: NewJob, gateway: str) -> None:
    jobs = [new_job() for _ in range(300)]
    await asyncio.gather(*(subject.other.tell(state(job, 7, terminal=n % 2 == 0)) for n, job in enumerate(jobs)))
    asked = [*reversed(jobs), new_job(), jobs[0]]
    found = await subject.cache.watch(gateway, asked)
    assert [each and each.id for each in found] == [*reversed(jobs), None, jobs[0]]


async def test_all_that_is_kept_is_read_in_the_order_asked(subject: Subject, new_job: NewJob) -> None:
    jobs = [new_job() for _ in range(300)]
    await asyncio.gather(*(subject.other.tell(state(job, 7, terminal=n % 2 == 0)) for n, job in enumerate(jobs)))
    asked = [*reversed(jobs), new_job(), jobs[0]]
    found = await subject.cache.fetch_all(asked)
    assert [each and each.id for each in found] == [*reversed(jobs), None, jobs[0]]


async def test_reading_all_watches_and_keeps_nothing(subject: Subject, job: str, gateway: str) -> None:
    await subject.cache.tell(state(job, 256))
    async with subject.cache.listen(gateway) as heard:
        assert await subject.cache.fetch_all([job]) == [state(job, 256)]
        await subject.cache.tell(state(job, 257))
        await subject.cache.watch(gateway, [job])
        await subject.cache.tell(state(job, 258))
        assert await anext(heard) == state(job, 258)


async def test_watching_no_job_is_nothing(subject: Subject, gateway: str) -> None:
    assert list(await subject.cache.watch(gateway, [])) == []
    assert list(await subject.cache.fetch_all([])) == []


async def test_a_watched_job_is_heard_in_the_order_told(subject: Subject, new_job: NewJob, gateway: str) -> None:
    jobs = [new_job() for _ in range(3)]
    async with subject.cache.listen(gateway) as heard:
        ear = Ear(subject, gateway, heard, new_job())
        await subject.cache.watch(gateway, jobs)
        told = [state(job, order) for order in range(1, 40) for job in jobs]
        for snapshot in told:
            await subject.other.tell(snapshot)
        assert await ear.so_far() == told


async def test_an_older_snapshot_is_not_heard(subject: Subject, new_job: NewJob, gateway: str) -> None:
    job = new_job()
    async with subject.cache.listen(gateway) as heard:
        ear = Ear(subject, gateway, heard, new_job())
        await subject.cache.watch(gateway, [job])
        await subject.other.tell(state(job, 5))
        await subject.other.tell(state(job, 4))
        await subject.other.tell(state(job, 5, body=b"again"))
        assert await ear.so_far() == [state(job, 5), state(job, 5, body=b"again")]


async def test_a_terminal_snapshot_ends_the_watch(subject: Subject, new_job: NewJob, gateway: str) -> None:
    job = new_job()
    async with subject.cache.listen(gateway) as heard:
        ear = Ear(subject, gateway, heard, new_job())
        await subject.cache.watch(gateway, [job])
        await subject.other.tell(state(job, 5, terminal=True))
        assert await ear.so_far() == [state(job, 5, terminal=True)]
        await subject.other.tell(state(job, 5, terminal=True))
        assert await ear.so_far() == []


async def test_a_job_known_to_be_over_is_not_watched(subject: Subject, new_job: NewJob, gateway: str) -> None:
    job = new_job()
    async with subject.cache.listen(gateway) as heard:
        ear = Ear(subject, gateway, heard, new_job())
        await subject.other.tell(state(job, 5, terminal=True))
        assert await subject.cache.watch(gateway, [job]) == [state(job, 5, terminal=True)]
        await subject.other.tell(state(job, 5, terminal=True))
        assert await ear.so_far() == []


async def test_every_gateway_that_watches_is_woken(subject: Subject, new_job: NewJob) -> None:
    job, first, second = new_job(), new_job(), new_job()
    async with subject.cache.listen(first) as one, subject.other.listen(second) as two:
        await subject.cache.watch(first, [job])
        await subject.other.watch(second, [job])
        told = state(job, 9, terminal=True)
        await subject.other.tell(told)
        assert await heard_until(one, told) == []
        assert await heard_until(two, told) == []


async def test_a_job_that_is_not_watched_is_not_heard(subject: Subject, new_job: NewJob, gateway: str) -> None:
    async with subject.cache.listen(gateway) as heard:
        ear = Ear(subject, gateway, heard, new_job())
        await subject.other.tell(state(new_job(), 5))
        assert await ear.so_far() == []


async def test_who_stops_watching_hears_no_more_and_others_do(subject: Subject, new_job: NewJob) -> None:
    job, leaver, stayer = new_job(), new_job(), new_job()
    async with subject.cache.listen(leaver) as one, subject.cache.listen(stayer) as two:
        left = Ear(subject, leaver, one, new_job())
        stayed = Ear(subject, stayer, two, new_job())
        await subject.cache.watch(leaver, [job])
        await subject.cache.watch(stayer, [job])
        await subject.cache.unwatch(leaver, job)
        await subject.cache.unwatch(leaver, job)
        await subject.other.tell(state(job, 5))
        assert await left.so_far() == []
        assert await stayed.so_far() == [state(job, 5)]


async def test_a_watch_lapses_unless_renewed(subject: Subject, new_job: NewJob, gateway: str) -> None:
    job = new_job()
    async with subject.cache.listen(gateway) as heard:
        ear = Ear(subject, gateway, heard, new_job())
        for _ in range(2):
            await subject.cache.watch(gateway, [job])
            await subject.age([job], WATCH_TTL_SECONDS - 2)
        await subject.other.tell(state(job, 1))
        assert await ear.so_far() == [state(job, 1)]
        await subject.age([job], 3)
        await subject.other.tell(state(job, 2))
        assert await ear.so_far() == []


async def test_listening_again_hears_what_is_told_from_then_on(subject: Subject, new_job: NewJob, gateway: str) -> None:
    job, sentinel = new_job(), new_job()
    await subject.cache.watch(gateway, [job])
    async with subject.cache.listen(gateway):
        await subject.other.tell(state(job, 1))
    await subject.other.tell(state(job, 2))
    async with subject.cache.listen(gateway) as heard:
        await subject.other.tell(state(job, 3))
        assert await Ear(subject, gateway, heard, sentinel).so_far() == [state(job, 3)]


# At the same moment


@pytest.mark.parametrize("seed", range(4))
async def test_told_while_starting_to_watch_is_never_missed(
    subject: Subject, new_job: NewJob, gateway: str, seed: int
) -> None:
    """Whatever the interleaving, a gateway knows the last state: from the watch, or by being told."""
    rng = random.Random(seed)
    jobs = [new_job() for _ in range(250)]
    learnt: list[Snapshot | None] = []

    async def somewhat_later() -> None:
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)

    async def run(job: str) -> None:
        for order in (1, 2, 3):
            await somewhat_later()
            await subject.other.tell(state(job, order, terminal=order == 3))

    async def wait(job: str) -> None:
        await somewhat_later()
        if rng.random() < 0.3:  # a waiter that comes, leaves, and comes again
            await subject.cache.watch(gateway, [job])
            await subject.cache.unwatch(gateway, job)
        learnt.extend(await subject.cache.watch(gateway, [job]))

    async def live(job: str) -> None:
        match rng.randrange(10):
            case 0:
                await wait(job)
                await run(job)
            case 1:
                await run(job)
                await wait(job)
            case _:
                await asyncio.gather(run(job), wait(job))

    async with subject.cache.listen(gateway) as heard:
        ear = Ear(subject, gateway, heard, new_job())
        await asyncio.gather(*map(live, jobs))
        learnt += await ear.so_far()
    assert {snapshot.id for snapshot in learnt if snapshot is not None and snapshot.terminal} == set(jobs)


async def test_concurrent_tellers_leave_the_highest_order(subject: Subject, new_job: NewJob) -> None:
    jobs = [new_job() for _ in range(20)]
    told = [(job, order) for job in jobs for order in range(1, 21)]
    random.Random(1).shuffle(told)
    sides = (subject.cache, subject.other)
    await asyncio.gather(*(sides[n % 2].tell(state(job, order)) for n, (job, order) in enumerate(told)))
    assert [await subject.cache.fetch(job) for job in jobs] == [state(job, 20) for job in jobs]
