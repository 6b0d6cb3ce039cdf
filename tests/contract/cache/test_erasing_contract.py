"""What `Eraser`, `Recent`, `CancelCaller` and `CancelCalls` promise, on both caches."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from shared.cache.lifetimes import RECENT_JOBS
from shared.models.public import Snapshot, deleted
from tests.contract.cache.cache_subject import state
from tests.contract.cache.streams_subject import News
from tests.contract.cache.waiting import soon


async def test_an_erased_job_is_known_to_be_deleted(news: News, job: str) -> None:
    await news.cache.tell(state(job, 9, terminal=True))
    await news.cache.erase(job)
    found = await news.cache.fetch(job)
    assert found == deleted(job)
    assert (found.deleted, found.terminal, found.final) == (True, True, False)


async def test_what_is_told_late_does_not_bring_it_back(news: News, job: str, gateway: str) -> None:
    await news.cache.erase(job)
    await news.cache.tell(state(job, 1 << 50, terminal=True))
    assert await news.cache.fetch(job) == deleted(job)
    assert list(await news.cache.watch(gateway, [job])) == [deleted(job)]


async def test_every_gateway_hears_of_it_watching_or_not(news: News, job: str, gateway: str) -> None:
    async with news.cache.listen(gateway) as heard, news.cache.listen(f"{gateway}-other") as other:
        await news.cache.watch(gateway, [job])
        await news.cache.erase(job)
        for ear in (heard, other):
            snapshot = await soon(anext(ear))
            while snapshot.id != job:  # others erase on this Redis too
                snapshot = await soon(anext(ear))
            assert snapshot == deleted(job)


async def test_erasing_twice_is_erasing(news: News, job: str) -> None:
    await news.cache.erase(job)
    await news.cache.erase(job)
    assert await news.cache.fetch(job) == deleted(job)


async def is_listed(news: News, tenant: str, expected: Sequence[Snapshot]) -> None:
    """Nobody waits for what is added, so it is there a moment later."""
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while list(await news.recent.newest(tenant)) != list(expected):
                await asyncio.sleep(0)
    assert list(await news.recent.newest(tenant)) == list(expected)


async def test_accepted_jobs_are_listed_the_latest_first(news: News, new_job: Callable[[], str]) -> None:
    tenant, jobs = new_job(), [state(new_job(), 256, body=b"{}") for _ in range(5)]
    assert list(await news.recent.newest(tenant)) == []
    for accepted in jobs:
        news.recent.add(tenant, accepted)
    news.recent.add(f"{tenant}-other", state(new_job(), 256))
    await is_listed(news, tenant, jobs[::-1])


async def test_a_tenants_list_is_bounded(news: News, new_job: Callable[[], str]) -> None:
    tenant, jobs = new_job(), [state(new_job(), 256) for _ in range(RECENT_JOBS + 20)]
    for accepted in jobs:
        news.recent.add(tenant, accepted)
    await is_listed(news, tenant, jobs[: -RECENT_JOBS - 1 : -1])


async def test_a_forgotten_job_is_listed_no_more(news: News, new_job: Callable[[], str]) -> None:
    tenant, jobs = new_job(), [state(new_job(), 256) for _ in range(3)]
    for accepted in [*jobs, jobs[1]]:
        news.recent.add(tenant, accepted)
    await news.recent.forget(tenant, jobs[1].id)
    await news.recent.forget(tenant, jobs[1].id[:-1])
    await news.recent.forget(f"{tenant}-other", jobs[0].id)
    await is_listed(news, tenant, [jobs[2], jobs[0]])


async def test_a_call_is_heard_by_its_worker_alone(news: News, job: str, gateway: str) -> None:
    async with news.cancellations.calls(gateway) as heard, news.cancellations.calls(f"{gateway}-other") as other:
        await news.cancellations.call(f"{gateway}-nobody", job)
        await news.cancellations.call(gateway, job)
        await news.cancellations.call(f"{gateway}-other", f"{job}-2")
        assert await soon(anext(heard)) == job
        assert await soon(anext(other)) == f"{job}-2"


async def test_an_accepted_job_is_told(news: News, new_job: Callable[[], str]) -> None:
    tenant, accepted = new_job(), state(new_job(), 256, body=b"{}")
    news.recent.add(tenant, accepted)
    await is_listed(news, tenant, [accepted])
    assert await news.cache.fetch(accepted.id) == accepted
