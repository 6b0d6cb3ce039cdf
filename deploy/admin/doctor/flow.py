"""What goes on: keys that let anybody in, announced handlers, queues that are worked on, timers and webhooks sent."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.admin.doctor.finding import Finding, fault, fine, skipped, warning
from shared.clock import MILLISECONDS, Clock
from shared.models.handler import HandlerEntry, queues_of
from shared.models.key import ApiKey
from shared.storage.contract import TIMER_SHARDS, Catalogue, KeyRing, Timers
from shared.storage.webhook_contract import DELIVERY_SHARDS, Deliveries

KEYS = 300
DAY_MS = 86_400 * MILLISECONDS
SOON_DAYS = 14
LATE_SECONDS = 60.0
OLD_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Flow:
    """queues: those that have topics."""

    catalogue: Catalogue
    keys: KeyRing
    timers: Timers
    deliveries: Deliveries
    queues: frozenset[str]
    clock: Clock

    async def examine(self, lanes: Sequence[Mapping[str, Any]]) -> list[Finding]:
        """lanes: as `QueueBoard.all` shows them. Raises StoreUnavailable."""
        entries = await self.catalogue.entries()
        keys = await self.keys.page(None, after="", limit=KEYS)
        return [
            *examine_keys(keys, self.clock.now()),
            *examine_handlers(entries, self.queues),
            *examine_lanes(lanes),
            await self._timers(),
            await self._deliveries(),
        ]

    async def _timers(self) -> Finding:
        dues = [await self.timers.next_due(shard) for shard in range(TIMER_SHARDS)]
        waiting = [due for due in dues if due is not None]
        late = (self.clock.now() - min(waiting)) / MILLISECONDS if waiting else 0.0
        if late > LATE_SECONDS:
            return fault("timers", f"one has been due for {late:.0f} s: nobody releases them", "start a scheduler")
        return fine("timers", "none is overdue" if waiting else "none waits")

    async def _deliveries(self) -> Finding:
        until = self.clock.now() - round(LATE_SECONDS * MILLISECONDS)
        if await self.deliveries.due(range(DELIVERY_SHARDS), until=until, limit=1):
            return fault("webhooks", f"one is due for over {LATE_SECONDS:.0f} s: nobody sends it", "start webhooks")
        return fine("webhooks", "none is overdue")


def examine_keys(keys: Sequence[ApiKey], now: int) -> Iterator[Finding]:
    usable = [key for key in keys if key.usable(now)]
    if not usable:
        yield fault("API keys", "none is usable: nobody can ask for anything", "sluice-admin keys create")
        return
    ending = [key for key in usable if key.expires_at is not None and key.expires_at < now + SOON_DAYS * DAY_MS]
    for key in ending:
        yield warning(
            "API keys", f"{key.id} of {key.tenant} expires within {SOON_DAYS} days", "make its owner a new one"
        )
    if not ending:
        yield fine("API keys", f"{len(usable)} are usable")


def examine_handlers(entries: Sequence[HandlerEntry], queues: frozenset[str]) -> Iterator[Finding]:
    if not entries:
        yield fault("handlers", "no worker has ever announced one", "start a worker, with SLUICE_HANDLERS")
        return
    strays = sorted(queues_of(entries) - queues) if queues else []
    for queue in strays:
        yield warning(
            "handlers",
            f"handlers are announced on the queue {queue}, which SLUICE_HANDLERS does not have here",
            "set SLUICE_HANDLERS as the workers have it, and sluice-admin topology apply",
        )
    if not strays:
        yield fine("handlers", f"{len(entries)} are announced")


def examine_lanes(lanes: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    if lanes and all(lane["workers"] is None for lane in lanes):
        yield skipped("queues", "nobody has told Redis what waits")
    for queue in sorted({lane["name"] for lane in lanes}):
        own = [lane for lane in lanes if lane["name"] == queue]
        yield from list(_troubles(queue, own)) or [fine(f"queue {queue}", _figures(own))]


def _troubles(queue: str, lanes: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    about = f"queue {queue}"
    for lane in lanes:
        if lane["lane"] == "interactive" and lane["paused"]:
            yield warning(about, f"is paused since {lane['paused_at']}", f"sluice-admin queues resume {queue}")
        if lane["workers"] == 0:
            yield fault(about, f"no process takes from its lane {lane['lane']}", "start workers for it")
        age = lane["oldest_age_seconds"] or 0.0
        if lane["backlog"] and age > OLD_SECONDS and not lane["paused"]:
            yield fault(about, f"{lane['backlog']} wait in {lane['lane']}, the oldest for {age:.0f} s", "add workers")


def _figures(lanes: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{lane['lane']}: {_known(lane['backlog'])} wait" for lane in lanes)


def _known(value: object) -> str:
    return "nobody knows how many" if value is None else str(value)
