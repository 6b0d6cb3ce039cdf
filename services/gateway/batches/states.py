"""What state a batch is in: from memory, else Redis, else Firestore. The counterpart of `status` for batches.

A batch has a document before anybody learns its id, so one without a document never was, or is long forgotten.
"""

from typing import Final

from services.gateway.http.problems import gone, not_found
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.lookup import Lookup
from services.gateway.jobs.status import Statuses
from services.gateway.settings import Settings
from shared.cache.contract import Snapshots
from shared.clock import MILLISECONDS, Clock
from shared.ids import Ids, IssuedId
from shared.models.batch import Batch, kept_until
from shared.models.batch_public import batch_snapshot
from shared.models.job import Retention
from shared.models.public import Snapshot
from shared.storage.batch_contract import BatchReader
from shared.storage.contract import Stored

PREFIX: Final = "bat_"


class BatchStates:
    def __init__(
        self,
        settings: Settings,
        *,
        ids: Ids,
        finished: Finished,
        cache: Snapshots,
        store: BatchReader,
        retention: Retention,
        clock: Clock,
    ) -> None:
        self._ids = ids
        self._finished = finished
        self._lookup = Lookup(
            "batch", finished=finished, cache=cache, store=store, store_seconds=settings.store_seconds
        )
        self._retention = retention
        self._clock = clock

    def verify(self, id: str, tenant: str) -> IssuedId:
        """Raises Problem 404 for an id that was never issued to this tenant, without asking anyone."""
        issued = self._ids.verify("bat", tenant, id)
        if issued is None:
            raise not_found()
        return issued

    async def read(self, issued: IssuedId, *, at_least: int = 0) -> Snapshot:
        """The batch's state.

        at_least: the newest order that the reader has seen; an older cache entry is not good enough.
        Raises Problem: 404, 410 past retention, 503 when nobody can tell.
        """
        return await self._lookup.copy(issued.text, at_least=at_least) or await self.stored(issued)

    async def stored(self, issued: IssuedId) -> Snapshot:
        """The batch's state by the store. Raises Problem as `read`."""
        state = batch_snapshot(await self.document(issued))
        self._finished.put(state)
        return state

    async def document(self, issued: IssuedId) -> Batch:
        """The batch as stored. Raises Problem as `read`."""
        found = await self.found(issued)
        now = self._clock.now()
        if found is None:
            over = issued.expires_at + self._retention.other_seconds * MILLISECONDS
            raise gone("batch") if now >= over else not_found()
        if found.value.deleted_at is not None or now >= kept_until(found.value, self._retention):
            raise gone("batch")
        return found.value

    async def found(self, issued: IssuedId) -> Stored[Batch] | None:
        """The document, if there is one, stubs included. Raises Problem 503."""
        return await self._lookup.document(issued.text)


class AllStates:
    """The stored state of whatever can be waited for, by its id."""

    def __init__(self, jobs: Statuses, batches: BatchStates) -> None:
        self._jobs = jobs
        self._batches = batches

    async def stored(self, issued: IssuedId) -> Snapshot:
        """See `Statuses.stored` and `BatchStates.stored`."""
        return await (self._batches if issued.text.startswith(PREFIX) else self._jobs).stored(issued)
