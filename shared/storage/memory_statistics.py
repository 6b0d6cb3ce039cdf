"""The contract of storage for statistics in memory: see `memory`, whose database this repository shares."""

from collections.abc import Sequence

from shared.models.statistics import Shard, Step
from shared.storage.contract import Conflict, Stored, Version, WriteResult, shard_of
from shared.storage.memory import MemoryDatabase
from shared.storage.statistics import STATISTICS_SHARDS, ShardPlace


class MemoryStatistics:
    """See `Statistics`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._stats = database.stats

    async def page(self, tenant: str, *, start: int, end: int, after: ShardPlace | None, limit: int) -> Sequence[Shard]:
        await self._database.answer()
        fitting = [
            shard
            for shard, _ in self._stats.documents.values()
            if shard.tenant == tenant and start <= shard.at < end and (after is None or ShardPlace.of(shard) > after)
        ]
        return sorted(fitting, key=ShardPlace.of)[:limit]

    async def put(self, shard: Shard) -> None:
        await self._database.answer()
        self._stats.write(shard.id, shard, self._database.next_version())

    async def old(self, shard: int, before: int, *, limit: int) -> Sequence[Stored[Shard]]:
        await self._database.answer()
        read_at = self._database.now()
        found = [
            Stored(each, version, read_at)
            for each, version in self._stats.documents.values()
            if each.step is Step.MINUTE and each.at < before and shard_of(each.tenant, STATISTICS_SHARDS) == shard
        ]
        return sorted(found, key=lambda each: ShardPlace.of(each.value))[:limit]

    async def read(self, id: str) -> Stored[Shard] | None:
        await self._database.answer()
        found = self._stats.documents.get(id)
        return found and Stored(*found, read_at=self._database.now())

    async def sum_up(self, hour: Shard, held: Version | None, minutes: Sequence[Stored[Shard]]) -> WriteResult:
        await self._database.answer()
        conflict = self._stats.conflict(hour.id, held)
        if conflict is not None:
            return conflict
        for minute in minutes:
            if self._stats.conflict_of_update(minute.value.id, minute.version):
                return Conflict.STALE
        for minute in minutes:
            del self._stats.documents[minute.value.id]
        return self._stats.write(hour.id, hour, self._database.next_version())
