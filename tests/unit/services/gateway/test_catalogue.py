"""Handlers as any key sees them: what workers announced, page by page."""

from dataclasses import replace
from typing import Any

from services.gateway.catalogue.handlers import Handlers
from services.gateway.catalogue.routes import CatalogueRoutes
from services.gateway.http.paging import Cursors
from services.gateway.statistics.run_times import RunTimes
from shared.clock import ManualClock
from shared.ids import IdKeys
from shared.models.handler import HandlerEntry
from shared.models.key import ApiKey
from shared.storage.memory import MemoryCatalogue, MemoryDatabase
from shared.storage.memory_statistics import MemoryStatistics
from tests.unit.services.gateway.asking import answered, request

KEY = ApiKey("k", "acme", b"", frozenset())
ENTRY = HandlerEntry("text.stats", "texts", "3", {"type": "object"}, {"type": "array"}, 30.0, 5, 60, "Counts words.")
SHOWN = {
    "name": "text.stats",
    "description": "Counts words.",
    "queue": "texts",
    "version": "3",
    "timeout_seconds": 30.0,
    "max_attempts": 5,
    "cache_for_seconds": 60,
    "run_seconds_p50": None,
    "run_seconds_p95": None,
    "input_schema": {"type": "object"},
    "output_schema": {"type": "array"},
    "reduces": False,
}


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        catalogue = MemoryCatalogue(self.database)
        self.announce = catalogue.announce
        self.handlers = Handlers(catalogue, self.clock)
        self.run_times = RunTimes(MemoryStatistics(self.database), self.clock, lambda: 0.5)
        self.routes = CatalogueRoutes(self.handlers, Cursors(IdKeys({1: b"k" * 32})), self.run_times)

    async def page(self, **query: str) -> tuple[int, Any]:
        return await answered(self.routes.page, KEY, request(path="/v1/handlers", query=query))

    async def get(self, name: str) -> tuple[int, Any]:
        return await answered(self.routes.get, KEY, request(name=name))


def entry(name: str) -> HandlerEntry:
    return HandlerEntry(name, "texts", "1", {}, {}, 1.0, 1, 0)


async def test_a_handler_is_shown_as_it_was_announced() -> None:
    b = Bench()
    await b.announce([ENTRY])
    assert await b.get("text.stats") == (200, SHOWN)
    assert await b.page() == (200, {"data": [SHOWN], "next": None})


async def test_a_built_in_reducer_is_on_no_queue_of_its_own() -> None:
    b = Bench()
    await b.announce([replace(ENTRY, name="sum", queue="", reduces=True)])
    assert await b.get("sum") == (200, {**SHOWN, "name": "sum", "queue": None, "reduces": True})


async def test_an_unknown_handler_is_404_with_names_that_are_close() -> None:
    b = Bench()
    await b.announce([ENTRY])
    status, problem = await b.get("text.stat")
    assert (status, problem["type"], problem["near"]) == (404, "/problems/unknown-handler", ["text.stats"])


async def test_handlers_come_by_name_in_pages() -> None:
    b = Bench()
    await b.announce([entry(name) for name in ("b", "a", "c.d", "c")])
    _, first = await b.page(limit="3")
    assert [each["name"] for each in first["data"]] == ["a", "b", "c"]
    _, second = await b.page(limit="3", cursor=first["next"])
    assert ([each["name"] for each in second["data"]], second["next"]) == (["c.d"], None)


async def test_while_nobody_can_tell_it_is_503_and_afterwards_what_was_known_stays() -> None:
    b = Bench()
    b.database.fail()
    assert (await b.page())[0] == 503
    b.database.heal()
    await b.announce([ENTRY])
    assert (await b.page())[0] == 200
    b.database.fail()
    assert (await b.page())[0] == 200
    assert (await b.get("text.stats"))[0] == 200
