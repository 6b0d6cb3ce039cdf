"""A webhooks service that dies, stands still or is told to end at each await of a delivery: none is lost."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import web

from deploy.local.backends import Backends
from services.webhooks.app import connected
from shared.models.delivery import Delivery, DeliveryState
from tests.chaos import trees
from tests.chaos.points import Armoury, Deed
from tests.chaos.webhook_fleet import Process, fleet
from tests.chaos.webhook_points import WEBHOOK_POINTS
from tests.integration.webhooks.bench import Bench
from tests.integration.webhooks.receiver import Answer, Receiver, receiving, status, until_true

EVENTS: Final = 3
WITHIN_SECONDS: Final = 60.0
FROZEN_AT: Final = ("create.after", "claim.after", "post.before", "post.after", "record.before", "ack.before")
ENDED_AT: Final = ("create.after", "claim.after", "post.before", "record.before", "ack.before")


@dataclass(frozen=True)
class Place:
    bench: Bench
    processes: list[Process]
    armoury: Armoury
    receiver: Receiver

    def struck(self, pid: int) -> Process:
        return next(each for each in self.processes if each.pid == pid)


@pytest_asyncio.fixture(scope="module")
async def place(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("points")
    pair = fleet(backends, 2, "tests.chaos.webhooks_main", SLUICE_CHAOS_POINTS=str(folder))
    async with receiving() as receiver, pair as (settings, processes), connected(settings) as adapters:
        yield Place(Bench(settings, adapters, receiver), processes, Armoury(folder, WEBHOOK_POINTS), receiver)


@dataclass(frozen=True)
class Story:
    """A tenant with three endpoints, and what happened to it."""

    place: Place
    tenant: str
    jobs: frozenset[str]

    async def over(self) -> list[Delivery]:
        """Its deliveries once nothing is to happen by itself any more."""
        found: list[Delivery] = []

        async def settled() -> bool:
            found[:] = await self.place.bench.log(self.tenant)
            return len(found) == 3 * EVENTS and not any(each.state.open for each in found)

        try:
            await until_true(settled, within=WITHIN_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{[(each.state, each.due_at, each.attempts) for each in found]}") from None
        return found

    async def require_sound(self) -> None:
        """delivered + exhausted + expired + held + blocked = accepted; what could arrive has arrived."""
        found = await self.over()
        assert Counter(each.state for each in found) == {
            DeliveryState.DELIVERED: 2 * EVENTS,
            DeliveryState.HELD: EVENTS,
        }
        for path in ("good", "flaky"):
            arrivals = self.place.receiver.at(f"/{self.tenant}/{path}")
            assert {each.json["data"]["id"] for each in arrivals} == self.jobs
            assert len({each.message for each in arrivals}) == EVENTS
            assert len(arrivals) <= 3 * EVENTS  # one stop, which may hit all of them; and flaky ones are refused once


async def begin(place: Place) -> Story:
    """Events for an endpoint that is well, one that refuses everything at first, and one that wants nothing."""
    bench, tenant = place.bench, place.bench.new_tenant()
    place.receiver.answers |= {f"/{tenant}/gone": status(410), f"/{tenant}/flaky": _refuses_first()}
    for path in ("good", "flaky", "gone"):
        await bench.register(tenant, f"/{tenant}/{path}")
    events = [bench.event(tenant) for _ in range(EVENTS)]
    await bench.publish(*events)
    return Story(place, tenant, frozenset(event.data["id"] for event in events))


def _refuses_first() -> Answer:
    seen: set[str] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        message = request.headers["webhook-id"]
        first = message not in seen
        seen.add(message)
        return await status(500 if first else 200)(request)

    return answer


@pytest.mark.parametrize("point", WEBHOOK_POINTS)
async def test_killed_at_any_point_it_loses_no_delivery(place: Place, point: str) -> None:
    place.armoury.arm(point, Deed.KILL)
    story = await begin(place)
    process = place.struck(await place.armoury.struck(point))
    assert await process.over() == -signal.SIGKILL
    await process.start()
    await story.require_sound()


@pytest.mark.parametrize("point", FROZEN_AT)
async def test_frozen_at_any_point_past_its_lease_it_changes_nothing_when_it_goes_on(place: Place, point: str) -> None:
    place.armoury.arm(point, Deed.FREEZE)
    story = await begin(place)
    pid = await place.armoury.struck(point)
    await asyncio.wait_for(story.over(), WITHIN_SECONDS)  # the other one does what there is to do
    trees.send([pid], signal.SIGCONT)
    await story.require_sound()


@pytest.mark.parametrize("point", ENDED_AT)
async def test_told_to_end_at_any_point_it_hands_over(place: Place, point: str) -> None:
    place.armoury.arm(point, Deed.TERMINATE)
    story = await begin(place)
    process = place.struck(await place.armoury.struck(point))
    assert await process.over() == 0
    await process.start()
    await story.require_sound()
