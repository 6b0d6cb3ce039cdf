"""What operators are shown of the statistics, what gateways add to them, and what gateways make of them."""

from typing import Any

import pytest

from services.gateway.statistics.routes import MOST_ROWS, StatisticsRoutes
from services.gateway.statistics.run_times import LEAST_RETRY_SECONDS, MOST_RETRY_SECONDS, RunTimes
from services.gateway.statistics.usage import EVERY_SECONDS, Usage
from services.gateway.statistics.usage import MOST_ROWS as MOST_COUNTED
from shared.clock import ManualClock, rfc3339
from shared.lifecycle import running
from shared.messaging.memory import MemoryBroker, MemoryPublisher, Outage
from shared.messaging.topics import AGGREGATOR, Names, topology
from shared.models.event import Event
from shared.models.job import Job, JobSpec
from shared.models.key import ApiKey
from shared.models.public import snapshot
from shared.models.statistics import EVERYONE, Shard, Step, Tally, bucket
from shared.models.usage import USAGE, rows_of
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_statistics import MemoryStatistics
from tests.unit.services.gateway.asking import answered, request

OPERATOR = ApiKey("k", "acme", b"", frozenset({"operator"}))
SYSTEM = ApiKey("s", "ops", b"", frozenset({"system"}))
MINUTE, HOUR = 60_000, 3_600_000
NAMES = Names()


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStatistics(MemoryDatabase(self.clock))
        self.routes = StatisticsRoutes(self.store, self.clock)
        self.run_times = RunTimes(self.store, self.clock, lambda: 0.5)
        self.now = Step.HOUR.start(self.clock.now())

    async def put(
        self,
        id: str,
        minutes_ago: int,
        tallies: dict[str, Tally] | None = None,
        *,
        tenant: str = "acme",
        step: Step = Step.MINUTE,
    ) -> None:
        at = step.start(self.clock.now() - minutes_ago * MINUTE)
        await self.store.put(Shard(id, tenant, step, at, tallies or {"h": Tally({"succeeded": 1})}, at + HOUR))

    async def get(self, query: dict[str, str] | None = None, key: ApiKey = OPERATOR) -> tuple[int, Any]:
        return await answered(self.routes.get, key, request(path="/v1/stats", query=query or {}))


async def test_the_last_hour_by_the_minute_is_what_is_shown_unasked() -> None:
    b = Bench()
    times = {bucket(100): 9, bucket(2_000): 1}
    counts = {"succeeded": 8, "failed:rejected": 1, "failed:handler_error": 1, "submitted": 12, "retries": 2}
    await b.put("a", 5, {"h": Tally(counts, {0: 10}, times)})
    await b.put("b", 5, {"h": Tally({"succeeded": 1})})  # another aggregator's
    await b.put("c", 4)
    await b.put("d", 90)
    await b.put("e", 5, tenant="rival")
    status, shown = await b.get()
    assert status == 200
    assert (shown["step"], shown["approximate"], shown["tenant"]) == ("minute", True, "acme")
    first, second = shown["data"]
    assert first["at"] == rfc3339(Step.MINUTE.start(b.clock.now() - 5 * MINUTE))
    assert (first["succeeded"], first["submitted"], first["retries"], first["canceled"]) == (9, 12, 2, 0)
    assert first["failed"] == {"rejected": 1, "handler_error": 1}
    assert first["run_seconds"]["count"] == 10
    assert abs(first["run_seconds"]["p50"] - 0.1) < 0.002
    assert abs(first["run_seconds"]["p99"] - 2.0) < 0.03 or first["run_seconds"]["p99"] < 0.2
    assert second["queue_seconds"] == {"count": 0, "p50": None, "p95": None, "p99": None}


async def test_a_day_is_shown_by_the_hour_and_hours_stay_hours() -> None:
    b = Bench()
    for number in range(3):
        await b.put(f"m{number}", 10 + number)
    await b.put("h", 600, step=Step.HOUR)
    _, shown = await b.get({"from": rfc3339(b.clock.now() - 24 * HOUR)})
    assert shown["step"] == "hour"
    assert sum(row["succeeded"] for row in shown["data"]) == 4
    _, shown = await b.get({"from": rfc3339(b.clock.now() - 24 * HOUR), "step": "minute"})
    assert [row["step"] for row in shown["data"]] == ["hour", "minute", "minute", "minute"]


async def test_one_handlers_rows_are_its_own() -> None:
    b = Bench()
    await b.put("a", 5, {"one": Tally({"succeeded": 1}), "two": Tally({"succeeded": 5})})
    _, shown = await b.get({"handler": "two"})
    assert [(row["handler"], row["succeeded"]) for row in shown["data"]] == [("two", 5)]


async def test_an_operator_sees_its_own_tenant_and_system_everyone() -> None:
    b = Bench()
    await b.put("a", 5)
    await b.put("b", 5, {"h": Tally({"succeeded": 7})}, tenant="rival")
    await b.put("c", 5, {"h": Tally({"succeeded": 8})}, tenant=EVERYONE)
    assert [row["succeeded"] for row in (await b.get())[1]["data"]] == [1]
    assert (await b.get({"tenant": "rival"}))[0] == 403
    assert [row["succeeded"] for row in (await b.get(key=SYSTEM))[1]["data"]] == [8]
    assert [row["succeeded"] for row in (await b.get({"tenant": "rival"}, SYSTEM))[1]["data"]] == [7]
    assert (await b.get({"tenant": "*"}))[0] == 400


@pytest.mark.parametrize(
    "query",
    [{"step": "day"}, {"from": "yesterday"}, {"to": "2020"}, {"handler": ""}, {"unknown": "1"}],
)
async def test_what_is_malformed_is_refused(query: dict[str, str]) -> None:
    status, _ = await Bench().get(query)
    assert status == 400


async def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    b = Bench()
    assert (await b.get({"from": rfc3339(b.now), "to": rfc3339(b.now)}))[0] == 400


async def test_more_than_an_answer_holds_is_refused() -> None:
    b = Bench()
    for number in range(MOST_ROWS // 200 + 1):
        await b.put(f"m{number}", number + 1, {f"h{each}": Tally({"succeeded": 1}) for each in range(200)})
    status, problem = await b.get()
    assert (status, problem["type"]) == (422, "/problems/out-of-range")


# Run times


async def test_run_times_are_those_of_the_last_minutes() -> None:
    b = Bench()
    await b.put("a", 3, {"slow": Tally(run_time={bucket(9_000): 10, bucket(100_000): 1})}, tenant=EVERYONE)
    await b.put("b", 40, {"slow": Tally(run_time={bucket(1): 1_000})}, tenant=EVERYONE)
    await b.put("c", 3, {"slow": Tally(run_time={bucket(1): 1_000})})
    assert b.run_times.of("slow") is None
    await b.run_times.look()
    found = b.run_times.of("slow")
    assert found is not None
    assert abs(found.p50 - 9) < 0.1
    assert abs(found.p95 - 9) < 0.1 or abs(found.p95 - 100) < 1.1
    assert b.run_times.of("other") is None
    assert b.run_times.of(None) is None


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(20, LEAST_RETRY_SECONDS), (8_900, 9), (3_600_000, MOST_RETRY_SECONDS)]
)
async def test_an_unfinished_job_is_worth_another_look_after_about_a_run(milliseconds: int, seconds: int) -> None:
    b = Bench()
    await b.put("a", 3, {"text.stats": Tally(run_time={bucket(milliseconds): 10})}, tenant=EVERYONE)
    await b.run_times.look()
    spec = JobSpec("job_" + "0" * 40, "acme", "text.stats", "q", b"1", 0, 1, 1.0, 1)
    assert b.run_times.retry_after(snapshot(Job.queued(spec))) == seconds
    unknown = JobSpec.unknown("job_" + "0" * 40, tenant="acme", created_at=0, expires_at=1)
    assert b.run_times.retry_after(snapshot(Job.queued(unknown))) == LEAST_RETRY_SECONDS


# Usage


class Told:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(self.clock)
        self.broker.apply(topology(NAMES, []))
        self.usage = Usage(MemoryPublisher(self.broker), NAMES.events, self.clock)

    def events(self) -> list[Event]:
        subscription = NAMES.reader(NAMES.events, AGGREGATOR)
        return [Event.decode(message.body) for message in self.broker.undelivered(subscription)]


async def test_what_was_asked_for_is_told_as_one_event_every_now_and_then() -> None:
    told = Told()
    async with running(told.usage.run()):
        for _ in range(5):
            told.usage.submitted("acme", "h")
        told.usage.hit("acme", "h")
        told.usage.submitted("rival", "h", 3)
        await told.clock.advance(EVERY_SECONDS / 2)
        assert told.events() == []
        await told.clock.advance(EVERY_SECONDS * 3)
        [event] = told.events()
    assert (event.type, event.tenant) == (USAGE, "*")
    assert sorted(rows_of(event)) == [
        ("acme", "h", {"submitted": 5, "cache_hits": 1}),
        ("rival", "h", {"submitted": 3}),
    ]


async def test_what_is_left_is_told_at_the_end() -> None:
    told = Told()
    told.usage.submitted("acme", "h")
    await told.usage.aclose()
    await told.usage.aclose()
    assert len(told.events()) == 1


async def test_what_the_broker_did_not_take_is_told_again_under_the_same_id() -> None:
    told = Told()
    told.usage.submitted("acme", "h")
    told.broker.outage = Outage.MUTE  # it takes it, and nobody learns so
    await told.usage.tell(1)
    told.usage.submitted("acme", "h", 2)
    told.broker.outage = None
    await told.usage.tell(1)
    first, again, second = told.events()
    assert first == again
    assert [list(rows_of(event)) for event in (again, second)] == [
        [("acme", "h", {"submitted": 1})],
        [("acme", "h", {"submitted": 2})],
    ]


async def test_an_event_is_bounded() -> None:
    told = Told()
    for number in range(MOST_COUNTED + 10):
        told.usage.submitted("acme", f"h{number}")
    await told.usage.tell(1)
    [event] = told.events()
    assert len(rows_of(event)) == MOST_COUNTED
