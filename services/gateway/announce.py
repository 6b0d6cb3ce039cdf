"""What is said of a job that was just accepted: to Redis, beside the answer. Who reads it before that asks the store.

Used by whatever accepts jobs: `posting` and `sharing`.
"""

from dataclasses import dataclass

from services.gateway.aside import Aside
from shared.cache.contract import Recent, Teller
from shared.models.public import Snapshot


@dataclass(frozen=True, slots=True)
class Announcer:
    teller: Teller
    recent: Recent
    aside: Aside

    def accepted(self, tenant: str, state: Snapshot) -> None:
        """Let reads and lists of the tenant know of it. Returns at once."""
        self.aside.do(self._say(tenant, state), "tell an accepted job")

    async def _say(self, tenant: str, state: Snapshot) -> None:
        """One after the other: nobody waits for it, and one task costs less than two."""
        await self.teller.tell(state)
        await self.recent.add(tenant, state)
