"""The contract of shards' leases in memory, on the documents of a `MemoryDatabase`. Used by tests."""

from collections.abc import Sequence

from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.memory import MemoryDatabase
from shared.storage.shard_leases import Allotment, Term


class MemoryShardLeases:
    """See `ShardLeases`."""

    def __init__(self, database: MemoryDatabase, group: str) -> None:
        self._database = database
        self._group = group
        self._terms = database.terms(group)
        self._allotments = database.allotments

    async def renew(self, term: Term, held: Version | None) -> WriteResult:
        await self._database.answer()
        return self._terms.conflict(term.id, held) or self._terms.write(term.id, term, self._database.next_version())

    async def end(self, id: str, held: Version) -> WriteResult:
        await self._database.answer()
        conflict = self._terms.conflict_of_update(id, held)
        if conflict:
            return conflict
        del self._terms.documents[id]
        return held

    async def terms(self) -> Sequence[Stored[Term]]:
        await self._database.answer()
        found = self._terms.documents
        return [Stored(*found[id], read_at=self._database.now()) for id in sorted(found)]

    async def allotment(self) -> Stored[Allotment] | None:
        await self._database.answer()
        found = self._allotments.documents.get(self._group)
        return found and Stored(*found, read_at=self._database.now())

    async def allot(self, allotment: Allotment, held: Version | None) -> WriteResult:
        await self._database.answer()
        conflict = self._allotments.conflict(self._group, held)
        return conflict or self._allotments.write(self._group, allotment, self._database.next_version())
