"""One attempt at one delivery: claim it, sign it, send it, write what came of it. Used by the deliverer.

The claim is a write under precondition that moves `due_at` past the attempt; a delivery that we have just created has
such a `due_at` from the start. A crash at any point leaves a document that becomes due again: at least once, never
lost.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client import Counter, Histogram

from services.webhooks.directory import Directory
from services.webhooks.health import HealthBook
from services.webhooks.lanes import Lane
from services.webhooks.posting import Blocked, Gone, Outcome, Poster, Succeeded
from services.webhooks.retry import is_dead
from services.webhooks.settle import settled
from services.webhooks.signing import headers
from services.webhooks.targets import Deleted, Disabled, Target, Targets
from services.webhooks.telling import Telling
from shared.clock import MILLISECONDS, Clock
from shared.errors import CommitUnknown, DestinationNotAllowed, Overloaded, Refused, Unavailable
from shared.models.delivery import AttemptRecord, Delivery, DeliveryState, ErrorClass
from shared.models.webhook import DisabledBy, Endpoint, Health
from shared.sealing import NotSealedHere
from shared.storage.contract import Stored, Version
from shared.storage.webhook_contract import DeliveryWrites, Endpoints

MAX_ROUNDS: Final = 4
"""Of writing again what others have touched meanwhile."""
SPARE_SECONDS: Final = 5.0
"""Of a claim, for writing what came of the attempt."""

_log = logging.getLogger("sluice.webhooks")


@dataclass(frozen=True, slots=True)
class Measures:
    """`outcomes` and `ends` count by their label; `durations` and `lags` are in seconds."""

    outcomes: Counter
    ends: Counter
    durations: Histogram
    lags: Histogram


@dataclass(frozen=True, slots=True)
class Attempts:
    """
    claim_seconds: how long a claim lasts; attempt_seconds: how long an attempt may take.
    chance: uniform in 0…1.
    """

    deliveries: DeliveryWrites
    endpoints: Endpoints
    directory: Directory
    targets: Targets
    poster: Poster
    book: HealthBook
    telling: Telling
    measures: Measures
    clock: Clock
    chance: Callable[[], float]
    claim_seconds: float
    attempt_seconds: float

    async def make(self, lane: Lane, stored: Stored[Delivery]) -> None:
        """Everything that can go wrong leaves the delivery in the store, to come again."""
        try:
            await self._make(lane, stored)
        except (Unavailable, Overloaded, Refused, NotSealedHere) as fault:
            _log.warning(
                "a delivery is left for later", extra={"delivery": stored.value.id, "fault": type(fault).__name__}
            )

    async def _make(self, lane: Lane, stored: Stored[Delivery]) -> None:
        delivery, now = stored.value, self.clock.now()
        if now >= delivery.expires_at:
            await self._write(stored, lambda found: found.expired(at=now))
            return
        try:
            target = await self.targets.of(delivery, now=now)
        except DestinationNotAllowed:
            blocked = Blocked(AttemptRecord(now, 0, None, ErrorClass.DESTINATION_NOT_ALLOWED))
            await self._record(lane, stored, blocked, None)
            return
        if isinstance(target, Disabled):
            await self._write(stored, lambda found: found.held(at=now))
        elif isinstance(target, Deleted):
            await self._write(stored, lambda found: found.canceled(at=now))
        elif (claimed := await self._claim(stored)) is not None:
            outcome = await self._send(claimed.value, target)
            await self._record(lane, claimed, outcome, target.endpoint)

    async def _claim(self, stored: Stored[Delivery]) -> Stored[Delivery] | None:
        """The delivery with nobody else's attempt at it for long enough; None: it is another's now."""
        now, delivery = self.clock.now(), stored.value
        enough = now + round((self.attempt_seconds + SPARE_SECONDS) * MILLISECONDS)
        if delivery.due_at is not None and delivery.due_at >= enough:
            return stored
        claimed = delivery.claimed(until=now + round(self.claim_seconds * MILLISECONDS))
        result = await self.deliveries.update(claimed, stored.version)
        return Stored(claimed, result, result.updated_at) if isinstance(result, Version) else None

    async def _send(self, delivery: Delivery, target: Target) -> Outcome:
        now = self.clock.now()
        if not delivery.attempted:
            self.measures.lags.observe(max(0.0, (now - delivery.created_at) / MILLISECONDS))
        signed = headers(target.keys, id=delivery.message, at_seconds=now // MILLISECONDS, body=delivery.body)
        return await self.poster.post(target.url, {**target.headers, **signed}, delivery.body)

    async def _record(self, lane: Lane, stored: Stored[Delivery], outcome: Outcome, endpoint: Endpoint | None) -> None:
        self._measure(outcome)
        health = await self.book.learn(lane, outcome)
        if endpoint is not None:
            await self._consider(endpoint, outcome, health)
        now, chance = self.clock.now(), self.chance()
        following = settled(stored.value, outcome, now=now, chance=chance)
        if following.state is DeliveryState.EXHAUSTED:
            await self.telling.exhausted(following)
        written = await self._write(stored, lambda found: settled(found, outcome, now=now, chance=chance))
        self._log_line(following if written is None else written, outcome)

    async def _write(self, stored: Stored[Delivery], change: Callable[[Delivery], Delivery]) -> Delivery | None:
        """Write what `change` makes of the delivery, also when somebody touched it meanwhile; None: it was over."""
        for _ in range(MAX_ROUNDS):
            following = change(stored.value)
            try:
                result = await self.deliveries.update(following, stored.version)
            except CommitUnknown:
                result = None
            if isinstance(result, Version):
                if not following.state.open:
                    self.measures.ends.labels(following.state).inc()
                return following
            found = await self.deliveries.read(stored.value.id)
            if found is None or not found.value.state.open:
                return None
            stored = Stored(replace(found.value, body=stored.value.body), found.version, found.read_at)
        raise Unavailable("others keep changing the delivery")

    async def _consider(self, endpoint: Endpoint, outcome: Outcome, health: Health) -> None:
        """Disable an endpoint that wants nothing any more, or has been dead for days."""
        now = self.clock.now()
        if isinstance(outcome, Gone):
            await self._disable(endpoint, DisabledBy.GONE, health)
        elif not isinstance(outcome, Succeeded) and is_dead(health, created_at=endpoint.updated_at, now=now):
            await self._disable(endpoint, DisabledBy.FAILING, health)

    async def _disable(self, endpoint: Endpoint, by: DisabledBy, health: Health) -> None:
        await self.telling.disabled(endpoint, by, health)
        for _ in range(MAX_ROUNDS):
            stored = await self.endpoints.read(endpoint.id)
            if stored is None or not stored.value.enabled or stored.value.url != endpoint.url:
                break  # somebody did something about it meanwhile
            wanted = stored.value.disabled(by, at=self.clock.now())
            if isinstance(await self.endpoints.replace(wanted, stored.version), Version):
                _log.warning("an endpoint is disabled", extra={"webhook": endpoint.id, "by": by})
                break
        self.directory.forget(endpoint.id)

    def _measure(self, outcome: Outcome) -> None:
        self.measures.outcomes.labels(type(outcome).__name__.lower()).inc()
        self.measures.durations.observe(outcome.record.duration_ms / MILLISECONDS)

    def _log_line(self, delivery: Delivery, outcome: Outcome) -> None:
        record = outcome.record
        _log.info(
            "attempted",
            extra={
                "delivery": delivery.id,
                "webhook": delivery.endpoint if delivery.url is None else None,
                "tenant": delivery.tenant,
                "type": delivery.type,
                "state": delivery.state,
                "attempt": delivery.attempted,
                "status": record.status,
                "error": record.error,
                "milliseconds": record.duration_ms,
            },
        )
