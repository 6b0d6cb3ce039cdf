"""The Protocols of storage for statistics: shards, each with one writer, and the sum of them by the hour.

| document | writer → reader | harmless twice because |
|---|---|---|
| `stats/{random}` of a minute | one aggregator → gateways, aggregators | written whole by the one that drew its id |
| `stats/{hour}` of an hour | aggregators → gateways | in one commit with the deletion of the minutes that it sums up |

So whoever adds up what there is of a span of time counts everything once, before, after and while hours are summed up.
Part of the storage contract: see `contract` for what every call raises beside what it names.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from shared.models.statistics import Shard
from shared.storage.contract import Stored, Version, WriteResult

STATISTICS_SHARDS: Final = 8
"""They lead the index by which old minutes are found: see JOB_SHARDS. A tenant's are all in one."""
MOST_SUMMED_UP: Final = 200
"""Minutes that one commit sums up: it has to fit a request."""


def hour_id(tenant: str, at: int) -> str:
    """Of the document of a tenant's hour. Hashed, for ids that rise with time are slow."""
    return hashlib.sha256(f"{tenant}\0{at}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, order=True)
class ShardPlace:
    """Where a shard stands among those of one tenant: by time."""

    at: int
    id: str

    @classmethod
    def of(cls, shard: Shard) -> "ShardPlace":
        return cls(shard.at, shard.id)


class StatisticsReader(Protocol):
    async def page(self, tenant: str, *, start: int, end: int, after: ShardPlace | None, limit: int) -> Sequence[Shard]:
        """The tenant's shards of spans that begin from `start` to before `end`, earliest first, behind `after`.

        Fewer than `limit` if that is all. Raises StoreUnavailable.
        """
        ...


class StatisticsWrites(Protocol):
    async def put(self, shard: Shard) -> None:
        """Write the shard, whole. Raises StoreUnavailable, after which it may have been written."""
        ...


class StatisticsRollUp(Protocol):
    async def old(self, shard: int, before: int, *, limit: int) -> Sequence[Stored[Shard]]:
        """Minutes that began before `before`, of the tenants of that shard (0…STATISTICS_SHARDS-1), earliest first.

        Raises StoreUnavailable.
        """
        ...

    async def read(self, id: str) -> Stored[Shard] | None:
        """Raises StoreUnavailable."""
        ...

    async def sum_up(self, hour: Shard, held: Version | None, minutes: Sequence[Stored[Shard]]) -> WriteResult:
        """Write the hour if nobody wrote it since `held` (None: if there is none), and delete up to MOST_SUMMED_UP
        minutes if nobody wrote them since they were read: all of that or nothing.

        Raises StoreUnavailable or CommitUnknown.
        """
        ...


class Statistics(StatisticsReader, StatisticsWrites, StatisticsRollUp, Protocol):
    """Everything that is asked of the repository of statistics."""
