"""`sluice-admin doctor` on a system with nothing wrong, and with one thing wrong at a time: it names that one."""

import dataclasses
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from deploy.admin.backends import cache as opened_cache
from deploy.admin.doctor.finding import Finding, State
from deploy.admin.doctor.round import EXAMINATIONS, examine
from deploy.admin.queues import queues_of
from deploy.admin.settings import Settings
from deploy.admin.topology import apply, without_backoff
from deploy.local.backends import Backends
from deploy.local.ports import choose_port
from shared.cache.lanes import Hold, LaneReport, Totals
from shared.cache.redis.lanes import RedisLanes
from shared.clock import MILLISECONDS, SystemClock
from shared.config import Secret
from shared.messaging.topics import Names, Topology, topology
from shared.models.delivery import Delivery
from shared.models.handler import HandlerEntry
from shared.models.job import Lane
from shared.models.key import SCOPES, ApiKey
from shared.models.queue import QueueControl
from shared.storage.contract import Timer
from shared.storage.firestore import (
    FirestoreCatalogue,
    FirestoreDatabase,
    FirestoreDeliveries,
    FirestoreKeys,
    FirestoreQueueControls,
    FirestoreTimers,
)
from tests.contract.storage.storage_subject import PATIENT, new_project
from tests.integration.deploy.admin_process import Admin, Terminal

HANDLERS = ("examples.texts:handlers",)
[QUEUE] = queues_of(HANDLERS)
MINUTE_MS, DAY_MS = 60 * MILLISECONDS, 86_400 * MILLISECONDS


@dataclass(frozen=True, slots=True)
class Bench:
    """A system in which everything is right, but for what a test plants."""

    settings: Settings
    database: FirestoreDatabase
    clock: SystemClock

    @property
    def wanted(self) -> Topology:
        return without_backoff(topology(Names(self.settings.prefix), [QUEUE]))

    async def apply(self, wanted: Topology) -> None:
        await apply(wanted, project=self.settings.project, emulator=self.settings.pubsub_emulator)

    async def announce(self, queue: str = QUEUE) -> None:
        entry = HandlerEntry("text.stats", queue, "1", {}, {}, timeout_seconds=1, max_attempts=1, cache_for_seconds=0)
        await FirestoreCatalogue(self.database).announce([entry])

    async def key(self, expires_at: int | None = None) -> None:
        await FirestoreKeys(self.database).put(ApiKey("k1", "acme", b"x" * 32, SCOPES, expires_at=expires_at))

    async def tell(self, *, workers: bool, backlog: bool) -> None:
        """Have Redis know the lane for ten minutes: a backlog of that age, and a worker, as is asked for."""
        lane, now = Names(self.settings.prefix).jobs(QUEUE, Lane.INTERACTIVE), self.clock.now()
        then = now - 10 * MINUTE_MS
        async with opened_cache(self.settings) as connection:
            lanes = RedisLanes(connection)
            empty = LaneReport(lane, Totals(), Hold(0, empty=True))
            for at in (then, then + 10 * MILLISECONDS):
                await lanes.tell("worker", then, [empty], at=at)
            if backlog:
                await lanes.tell("gateway", then, [LaneReport(lane, Totals(published=7), None, then)], at=then + 11_000)
            if workers:
                await lanes.tell("worker", then, [LaneReport(lane, Totals(), Hold(0))], at=now)

    async def findings(self, **changed: object) -> Sequence[Finding]:
        settings = replace(self.settings, **changed)  # type: ignore[arg-type]  # fields of the settings
        found: list[Finding] = []
        for name in EXAMINATIONS:
            found += await examine(name, settings, self.clock, found)
        return found


@pytest.fixture
async def bench(backends: Backends) -> AsyncIterator[Bench]:
    environ = backends.environ()
    settings = Settings(
        project=new_project(),
        prefix=f"s{os.urandom(4).hex()}",
        pubsub_emulator=environ["PUBSUB_EMULATOR_HOST"],
        firestore_emulator=environ["FIRESTORE_EMULATOR_HOST"],
        redis_url=environ["REDIS_URL"],
        handlers=HANDLERS,
        id_keys=Secret(f"1:{'cd' * 32}"),
        webhook_keys=Secret(f"1:{'ef' * 32}"),
    )
    async with FirestoreDatabase(settings.project, settings.firestore_emulator, limits=PATIENT) as database:
        yield Bench(settings, database, SystemClock())


async def healthy(bench: Bench) -> None:
    await bench.apply(bench.wanted)
    await bench.announce()
    await bench.key()
    await bench.tell(workers=True, backlog=False)


async def test_nothing_is_found_where_nothing_is_wrong(bench: Bench) -> None:
    await healthy(bench)
    bad = [each for each in await bench.findings() if each.state in {State.FAULT, State.WARNING}]
    assert bad == []


async def _differing(bench: Bench) -> None:
    first, *rest = bench.wanted.subscriptions
    changed = dataclasses.replace(first, ack_deadline_seconds=77)
    await bench.apply(replace(bench.wanted, subscriptions=(changed, *rest)))


async def _misplaced(bench: Bench) -> None:
    names, wanted = Names(bench.settings.prefix), bench.wanted
    [first] = [each for each in wanted.subscriptions if each.topic == names.jobs(QUEUE, Lane.BULK)]
    rest = [each for each in wanted.subscriptions if each is not first]
    moved = dataclasses.replace(first, topic=names.events)
    await bench.apply(replace(wanted, subscriptions=(moved, *rest)))
    await bench.announce()


async def _overdue(bench: Bench) -> None:
    due = bench.clock.now() - 5 * MINUTE_MS
    await FirestoreTimers(bench.database).create(Timer("job_1:1", due, "topic", b"{}", {}))


async def _unsent(bench: Bench) -> None:
    due = bench.clock.now() - 5 * MINUTE_MS
    await FirestoreDeliveries(bench.database).create(
        Delivery("dlv_1", "acme", "msg_1", "job.succeeded", "whk_1", "job_1", b"{}", due, due + DAY_MS, due)
    )


async def _expiring(bench: Bench) -> None:
    await bench.key(expires_at=bench.clock.now() + DAY_MS)


async def _paused(bench: Bench) -> None:
    await FirestoreQueueControls(bench.database).put(QueueControl(QUEUE, bench.clock.now()))


async def _nothing(bench: Bench) -> None:
    """A system that nobody has set up."""


Planted = Callable[[Bench], Awaitable[None]]


@pytest.mark.parametrize(
    ("plant", "set_up", "state", "about", "says"),
    [
        (_nothing, False, State.FAULT, "topology", "missing"),
        (_nothing, False, State.FAULT, "API keys", "none is usable"),
        (_nothing, False, State.FAULT, "handlers", "no worker has ever announced"),
        (_differing, False, State.FAULT, "topology", "differs in ack_deadline_seconds"),
        (_misplaced, False, State.FAULT, "topology", "from which nobody expects anything"),
        (lambda bench: bench.announce("stray"), True, State.WARNING, "handlers", "on the queue stray"),
        (_expiring, True, State.WARNING, "API keys", "expires within 14 days"),
        (_overdue, True, State.FAULT, "timers", "nobody releases them"),
        (_unsent, True, State.FAULT, "webhooks", "nobody sends it"),
        (_paused, True, State.WARNING, f"queue {QUEUE}", "is paused since"),
        (lambda bench: bench.tell(workers=True, backlog=True), True, State.FAULT, f"queue {QUEUE}", "7 wait in"),
    ],
)
async def test_what_is_planted_is_found(
    bench: Bench, plant: Planted, set_up: bool, state: State, about: str, says: str
) -> None:
    if set_up:
        await healthy(bench)
    await plant(bench)
    found = await bench.findings()
    meant = [each for each in found if each.about == about and each.state is state and each.remedy]
    assert [each for each in meant if says in each.detail], "\n".join(map(str, found))


async def test_a_queue_without_workers_is_found(bench: Bench) -> None:
    await bench.apply(bench.wanted)
    await bench.announce()
    await bench.tell(workers=False, backlog=True)
    details = [each.detail for each in await bench.findings() if each.about == f"queue {QUEUE}"]
    assert any("no process takes from its lane interactive" in detail for detail in details)


async def test_ten_planted_faults_are_found_at_once(bench: Bench) -> None:
    """Two settings, two subscriptions, and six that only what goes on shows."""
    first, *rest = bench.wanted.subscriptions
    names = Names(bench.settings.prefix)
    bulk = names.jobs(QUEUE, Lane.BULK)
    moved = [dataclasses.replace(each, topic=names.events) if each.topic == bulk else each for each in rest]
    await bench.apply(
        replace(bench.wanted, subscriptions=(dataclasses.replace(first, ack_deadline_seconds=77), *moved))
    )
    await bench.announce("stray")
    await bench.tell(workers=False, backlog=True)
    for plant in (_overdue, _unsent, _expiring, _paused):
        await plant(bench)
    found = await bench.findings(id_keys=Secret("1:short"), webhook_keys=Secret(f"1:{'ef' * 16}"))
    bad = [f"{each.about}: {each.detail}" for each in found if each.state in {State.FAULT, State.WARNING}]
    for planted in (
        "SLUICE_ID_KEYS: ",
        "SLUICE_WEBHOOK_KEYS: ",
        "differs in ack_deadline_seconds",
        "from which nobody expects anything",
        "handlers: handlers are announced on the queue stray",
        "API keys: k1 of acme expires",
        "timers: one has been due",
        "webhooks: one is due",
        f"queue {QUEUE}: is paused",
        f"queue {QUEUE}: no process takes",
    ):
        assert [each for each in bad if planted in each], (planted, bad)
    assert all(each.remedy for each in found if each.state in {State.FAULT, State.WARNING})


@pytest.mark.parametrize(
    ("changed", "about", "says"),
    [
        ({"webhook_keys": Secret("1:short")}, "SLUICE_WEBHOOK_KEYS", "not a list of version:hex"),
        ({"id_keys": Secret("1:short")}, "SLUICE_ID_KEYS", "not a list of version:hex"),
        ({"redis_url": "http://redis"}, "REDIS_URL", "is not redis://"),
        ({"redis_url": f"redis://127.0.0.1:{choose_port()}/0"}, "Redis", "cannot be reached"),
        ({"handlers": ("no.such:handlers",)}, "SLUICE_HANDLERS", "cannot be imported"),
        ({"pubsub_emulator": f"127.0.0.1:{choose_port()}"}, "Pub/Sub", "did not answer"),
    ],
)
async def test_a_bad_setting_is_found(bench: Bench, changed: dict[str, object], about: str, says: str) -> None:
    await healthy(bench)
    found = await bench.findings(**changed)
    assert [each for each in found if each.state is State.FAULT and each.about == about and says in each.detail]


async def test_the_command_fails_where_there_is_a_fault_and_shows_no_secret(bench: Bench, terminal: Terminal) -> None:
    environ = {
        "SLUICE_PROJECT": bench.settings.project,
        "SLUICE_PREFIX": bench.settings.prefix,
        "PUBSUB_EMULATOR_HOST": bench.settings.pubsub_emulator,
        "FIRESTORE_EMULATOR_HOST": bench.settings.firestore_emulator,
        "REDIS_URL": bench.settings.redis_url,
        "SLUICE_HANDLERS": ",".join(HANDLERS),
        "SLUICE_ID_KEYS": bench.settings.id_keys.reveal(),
        "SLUICE_WEBHOOK_KEYS": bench.settings.webhook_keys.reveal(),
    }
    status, out, err = await Admin(terminal, environ).run("doctor")
    assert (status, err) == (1, "")
    assert "sluice-admin topology apply" in out
    assert "cdcdcd" not in out
    assert "efefef" not in out
    await healthy(bench)
    found = await Admin(terminal, environ).told("doctor", status=0)
    assert {each["state"] for each in found} <= {"ok", "skipped"}
