"""Queues as operators see and pause them: what nobody knows is null, and a pause is kept."""

from typing import Any

from services.gateway.catalogue.handlers import Handlers
from services.gateway.operators.queues import QueueRoutes
from shared.cache.lanes import QUIET_SECONDS, WARM_SECONDS, Hold, LaneReport, Totals
from shared.cache.memory_lanes import MemoryLanes
from shared.clock import ManualClock, rfc3339
from shared.messaging.topics import Names
from shared.models.handler import HandlerEntry
from shared.models.job import Lane
from shared.models.key import SCOPES, ApiKey
from shared.models.queue import QueueControl
from shared.storage.memory import MemoryCatalogue, MemoryDatabase, MemoryQueueControls
from tests.unit.services.gateway.asking import answered, request

SYSTEM = ApiKey("root", "sluice", b"", SCOPES)
NAMES = Names("here")
UNKNOWN = {
    "backlog": None,
    "oldest_age_seconds": None,
    "in_flight": None,
    "rate_in_per_second": None,
    "rate_out_per_second": None,
    "workers": None,
}


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        self.controls = MemoryQueueControls(self.database)
        self.board = MemoryLanes()
        catalogue = MemoryCatalogue(self.database)
        self.announce = catalogue.announce
        self.routes = QueueRoutes(Handlers(catalogue, self.clock), self.controls, self.board, NAMES, self.clock)

    async def all(self) -> Any:
        status, body = await answered(self.routes.all, SYSTEM, request())
        assert status == 200
        return body["data"]

    async def pause(self, name: str) -> tuple[int, Any]:
        return await answered(self.routes.pause, SYSTEM, request("POST", name=name))

    async def resume(self, name: str) -> tuple[int, Any]:
        return await answered(self.routes.resume, SYSTEM, request("POST", name=name))


def entry(name: str, queue: str) -> HandlerEntry:
    return HandlerEntry(name, queue, "1", {}, {}, 1.0, 1, 0)


def unknown_lanes(*, paused: bool) -> list[dict[str, Any]]:
    return [{"lane": lane, "paused": paused, **UNKNOWN} for lane in ("interactive", "bulk")]


async def test_every_queue_of_a_handler_is_there_by_name_and_what_nobody_knows_is_null() -> None:
    b = Bench()
    await b.announce([entry("a", "texts"), entry("b", "images"), entry("c", "texts")])
    assert await b.all() == [
        {"name": name, "paused": False, "paused_at": None, "lanes": unknown_lanes(paused=False)}
        for name in ("images", "texts")
    ]


async def test_a_queue_is_paused_until_it_goes_on() -> None:
    b = Bench()
    await b.announce([entry("a", "texts"), entry("b", "images")])
    paused_at = b.clock.now()
    paused = {
        "name": "texts",
        "paused": True,
        "paused_at": rfc3339(paused_at),
        "lanes": unknown_lanes(paused=True),
    }
    assert await b.pause("texts") == (200, paused)
    assert list(await b.controls.all()) == [QueueControl("texts", paused_at)]
    await b.clock.advance(60)
    assert await b.pause("texts") == (200, paused)
    assert [each["paused"] for each in await b.all()] == [False, True]
    running = {**paused, "paused": False, "paused_at": None, "lanes": unknown_lanes(paused=False)}
    assert await b.resume("texts") == await b.resume("texts") == (200, running)
    assert [each["paused"] for each in await b.all()] == [False, False]


async def test_a_paused_queue_stays_to_be_resumed_when_its_handlers_are_gone() -> None:
    b = Bench()
    await b.controls.put(QueueControl("left", b.clock.now()))
    assert [each["name"] for each in await b.all()] == ["left"]
    assert (await b.resume("left"))[0] == 200


async def test_a_queue_that_nobody_knows_is_404() -> None:
    b = Bench()
    await b.announce([entry("a", "texts")])
    assert [(await b.pause("text"))[0], (await b.resume("text"))[0]] == [404, 404]
    assert list(await b.controls.all()) == []


async def test_figures_are_those_of_each_lane() -> None:
    b = Bench()
    await b.announce([entry("a", "texts")])
    bulk = NAMES.jobs("texts", Lane.BULK)
    for hold in (Hold(0, empty=True), Hold(2, oldest_at=b.clock.now() - 1_260)):
        await b.board.tell("worker-1", 0, [LaneReport(bulk, Totals(), hold)], at=b.clock.now())
        await b.clock.advance(max(WARM_SECONDS, QUIET_SECONDS))
    [queue] = await b.all()
    assert queue["lanes"][0] == {"lane": "interactive", "paused": False, **UNKNOWN}
    assert queue["lanes"][1] == {
        "lane": "bulk",
        "paused": False,
        "backlog": 0,
        "oldest_age_seconds": 21.3,
        "in_flight": 2,
        "rate_in_per_second": 0.0,
        "rate_out_per_second": 0.0,
        "workers": 1,
    }


async def test_without_redis_the_queues_are_there_and_their_figures_are_null() -> None:
    b = Bench()
    await b.announce([entry("a", "texts")])
    b.board.stop()
    [queue] = await b.all()
    assert queue["lanes"] == unknown_lanes(paused=False)
    assert (await b.pause("texts"))[0] == 200


async def test_queries_and_bodies_that_mean_nothing_are_refused() -> None:
    b = Bench()
    await b.announce([entry("a", "texts")])
    assert (await answered(b.routes.all, SYSTEM, request(query={"x": "1"})))[0] == 400
    asked = request("POST", body={"until": "tomorrow"}, name="texts")
    assert (await answered(b.routes.pause, SYSTEM, asked))[0] == 400
    assert list(await b.controls.all()) == []
