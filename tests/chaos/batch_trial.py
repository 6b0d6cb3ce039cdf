"""One run of batches in an arena: what is asked, what is done to the system meanwhile, and what the judge says."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

import aiohttp

from shared.models.batch import Batch
from shared.models.event import Event
from shared.telemetry.metrics import AGGREGATOR_EVENTS
from tests.chaos.arena import KEY, Arena
from tests.chaos.batch_client import BatchClient
from tests.chaos.batch_evidence import Looking, Seen
from tests.chaos.batches import Wanted
from tests.chaos.effects import read_effects
from tests.chaos.evidence import Evidence, until
from tests.chaos.faults import Moment
from tests.chaos.history import History
from tests.chaos.inflict import perform
from tests.chaos.messages import replay
from tests.chaos.rules.batching import judge_batches
from tests.chaos.rules.ending import results_are_of_the_claim_that_ended_the_job
from tests.chaos.rules.running import (
    a_fence_is_for_one_run,
    further_starts_have_a_cause,
    processes_end_when_told,
    what_never_started_never_ran,
)
from tests.chaos.rules.violation import Violation
from tests.chaos.work import Piece

DRAIN_SECONDS: Final = 180.0
"""What everything may take to be over once all works again: what no event tells of is looked for after a minute."""
TOLD_SECONDS: Final = 30.0
ITEM_RULES: Final = (
    results_are_of_the_claim_that_ended_the_job,
    a_fence_is_for_one_run,
    further_starts_have_a_cause,
    what_never_started_never_ran,
    processes_end_when_told,
)
"""Of those for single jobs, the ones that need no history of calls."""


@dataclass(frozen=True, slots=True)
class BatchTrial:
    """tag: begins the name of every batch, so that trials in one arena keep apart."""

    place: Arena
    client: BatchClient
    looking: Looking
    tag: str

    async def load(self, batches: Iterable[Wanted], moments: Iterable[Moment] = ()) -> list[Moment]:
        """Have them uploaded, and canceled if that is wanted, while faults strike: those that did."""
        struck: list[Moment] = []
        async with asyncio.TaskGroup() as group:
            for wanted in batches:
                group.create_task(self.client.carry(wanted))
            group.create_task(perform(self.place, moments, struck))
        return struck

    async def over(self, within: float = DRAIN_SECONDS) -> bool:
        """Heal, and wait until every batch is over and its end was told: whether that came in time."""
        await self.place.heal()
        ended = await until(self._over, within)
        return ended and await until(self._told, TOLD_SECONDS)

    async def told_again(self, rng: Random) -> None:
        """Tell all that was told of them once more, in another order, and wait until the aggregators have taken it."""
        ids = (await self.documents()).keys()
        told = [body for body in self.place.tap.bodies if Event.decode(body).batch in ids]
        before = await self._handled()
        await replay(self.place, told, rng, most=len(told))

        async def taken() -> bool:
            return await self._handled() >= before + len(told)

        if not await until(taken, TOLD_SECONDS):
            raise TimeoutError("the aggregators have not taken what they were told again")

    async def seen(self, batches: Sequence[Wanted]) -> list[Seen]:
        """All that there is to be seen of them."""
        found = await self.client.find(self.tag)
        ids = [found.get(each.name, set()) | self.client.answered.get(each.name, set()) for each in batches]
        return [await self.looking.seen(each, frozenset(id)) for each, id in zip(batches, ids, strict=True)]

    def violations(self, batches: Sequence[Seen]) -> list[Violation]:
        """Of what batches promise, and of what their items do as jobs."""
        evidence = self._items(batches)
        return judge_batches(batches) + [violation for rule in ITEM_RULES for violation in rule(evidence)]

    async def documents(self) -> dict[str, Batch]:
        """The batches of this trial, as the store has them now."""
        found = await self.client.find(self.tag)
        return await self.looking.batches([id for ids in found.values() for id in ids])

    async def _over(self) -> bool:
        found = await self.documents()
        return bool(found) and all(batch.status.terminal for batch in found.values())

    async def _told(self) -> bool:
        return (await self.documents()).keys() <= self.place.tap.ends.keys()

    async def _handled(self) -> float:
        """Events that the aggregators have taken since they were started."""
        sample = f'{AGGREGATOR_EVENTS.name}_total{{result="handled"}}'
        return sum([await self.place.metric(name, sample) for name in self.place.cast.aggregators])

    def _items(self, batches: Sequence[Seen]) -> Evidence:
        documents = {job.spec.id: job for seen in batches for job in seen.items.values()}
        effects = [each for each in read_effects(self.place.effects) if each.work.startswith(self.tag)]
        tasks = [task for seen in batches for task in seen.wanted.tasks]
        asked = {task["work"]: Piece(task["work"], task=task) for task in tasks}
        return Evidence(History(), effects, self.place.damage, asked, documents, {}, {})


@asynccontextmanager
async def batch_trial(place: Arena, tag: str) -> AsyncIterator[BatchTrial]:
    """A trial, for as long as the block lasts. Each call goes on a connection of its own, so to any gateway."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        client = BatchClient(session, place.system.base_url, KEY.token)
        yield BatchTrial(place, client, Looking(place, client), tag)
