"""Keeps the leases of everything that a consumer holds, by one task for all of it.

Leases are short, so that a dead process's messages come back soon, and are renewed when a little over a third has
passed: one renewal may fail, and its repetition too, before a lease lapses.
"""

from dataclasses import dataclass
from typing import Final

from shared.clock import Clock
from shared.errors import BrokerUnavailable
from shared.messaging.contract import Delivery, Source

_RENEW_AFTER: Final = 0.35
_LOOK_EVERY: Final = 0.08
"""Both as parts of a lease: one of 10 s is renewed every 3.5 to 4.3 s."""


@dataclass(slots=True)
class _Lease:
    delivery: Delivery
    renewed: float


class Leases:
    """The leases of one consumer.

    lease_seconds: what each is extended to; no longer than any of the subscriptions' ack deadlines.
    """

    def __init__(self, source: Source, clock: Clock, *, lease_seconds: int) -> None:
        self._source = source
        self._clock = clock
        self._seconds = lease_seconds
        self._kept: dict[str, _Lease] = {}
        self.failures = 0
        """Renewals that failed, each for any number of messages."""

    def hold(self, delivery: Delivery) -> None:
        """Keep the lease of `delivery`, which has just come."""
        self._kept[delivery.ack_id] = _Lease(delivery, self._clock.monotonic())

    def let_go(self, delivery: Delivery) -> None:
        """Renew it no more. What is asked of the source from now on is not undone by a renewal."""
        self._kept.pop(delivery.ack_id, None)

    async def keep(self) -> None:
        """Renew what is due, until cancelled."""
        while True:
            await self._clock.sleep(self._seconds * _LOOK_EVERY)
            await self._renew()

    async def _renew(self) -> None:
        now = self._clock.monotonic()
        limit = now - self._seconds * _RENEW_AFTER
        due = [lease for lease in self._kept.values() if lease.renewed <= limit]
        if not due:
            return
        try:
            await self._source.extend([lease.delivery for lease in due], seconds=self._seconds)
        except BrokerUnavailable:
            self.failures += 1  # and tried again at the next look
            return
        for lease in due:
            lease.renewed = now
