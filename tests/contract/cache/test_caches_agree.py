"""The same random history on both caches: every answer and everything heard is the same."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from shared.models.public import Snapshot
from tests.contract.cache.cache_subject import Subject, memory_subject, redis_subject, state
from tests.contract.cache.test_snapshots_contract import heard_until

STEPS = 600
ACTS = ("tell",) * 4 + ("watch", "watch", "unwatch", "fetch", "fetch", "age")
AGES = (6, 6, 70, 4_000)
"""Seconds; no sum of them falls short of a time to live by less than two."""


@dataclass(slots=True)
class History:
    """What one cache answered."""

    subject: Subject
    ears: dict[str, AsyncIterator[Snapshot]]
    answers: list[object] = field(default_factory=list)

    async def step(self, rng: random.Random, jobs: list[str]) -> None:
        job, gateway, cache = rng.choice(jobs), rng.choice([*self.ears]), self.subject.cache
        match rng.choice(ACTS):
            case "tell":
                order = rng.randrange(1, 40)
                await self.subject.other.tell(state(job, order, terminal=order > 38))
            case "watch":
                self.answers.append(list(await cache.watch(gateway, rng.sample(jobs, 3))))
            case "unwatch":
                await cache.unwatch(gateway, job)
            case "fetch":
                self.answers.append(await cache.fetch(job))
            case "age":
                await self.subject.age(jobs, rng.choice(AGES))

    async def close(self, sentinel: str) -> list[list[Snapshot]]:
        last = state(sentinel, 1)
        for gateway in self.ears:
            await self.subject.cache.watch(gateway, [sentinel])
        await self.subject.other.tell(last)
        return [await heard_until(ear, last) for ear in self.ears.values()]


@pytest.mark.parametrize("seed", range(5))
async def test_both_caches_tell_the_same_story(redis_url: str, new_job: Callable[[], str], seed: int) -> None:
    jobs, gateways, sentinel = [new_job() for _ in range(4)], [new_job(), new_job()], new_job()
    async with AsyncExitStack() as stack:
        histories = []
        for entering in (memory_subject(), redis_subject(redis_url)):
            subject = await stack.enter_async_context(entering)
            ears = {each: await stack.enter_async_context(subject.cache.listen(each)) for each in gateways}
            histories.append(History(subject, ears))
        heard = []
        for history in histories:
            rng = random.Random(seed)
            for _ in range(STEPS):
                await history.step(rng, jobs)
            heard.append(await history.close(sentinel))
    assert histories[0].answers == histories[1].answers
    assert heard[0] == heard[1]
    assert all(len(each) > 20 for each in heard[0])
