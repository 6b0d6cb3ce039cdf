"""`DELETE /v1/batches/{id}`: takes the data of a batch that is over away, its items' first; 204, however often.

Each item goes as a job goes that is deleted by itself (`services.gateway.jobs.delete`), then what the upload has left,
then the batch. So while any data is left, the batch is there to be deleted again: a large one may take several
requests, of which all but the last answer 503 with `Retry-After`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import orjson
from aiohttp import web

from services.gateway.batches.states import BatchStates
from services.gateway.http.asking import nothing_else
from services.gateway.http.problems import BATCH_NOT_TERMINAL, GONE, Problem, gone, unavailable
from services.gateway.jobs.finished import Finished
from services.gateway.settings import Settings
from shared.cache.contract import Eraser
from shared.clock import Clock
from shared.errors import CommitUnknown, Overloaded, Unavailable
from shared.ids import Ids, IssuedId
from shared.models.batch import Batch
from shared.models.batch_public import batch_snapshot
from shared.models.key import ApiKey
from shared.models.public import deleted
from shared.storage.batch_contract import BatchErasure, Chunks, uploaded
from shared.storage.contract import JobOutcomes, Stored, Version

AT_ONCE: Final = 100
MAX_ROUNDS: Final = 8

EraseJob = Callable[[IssuedId, str], Awaitable[None]]
"""Takes away the data of a job of a tenant, if it is over. Raises Problem, Unavailable, Overloaded."""


class BatchDeletes:
    def __init__(
        self,
        settings: Settings,
        *,
        states: BatchStates,
        store: BatchErasure,
        chunks: Chunks,
        jobs: JobOutcomes,
        ids: Ids,
        erase_job: EraseJob,
        eraser: Eraser,
        finished: Finished,
        clock: Clock,
    ) -> None:
        self._seconds = settings.erase_seconds
        self._states = states
        self._store = store
        self._chunks = chunks
        self._jobs = jobs
        self._ids = ids
        self._erase_job = erase_job
        self._eraser = eraser
        self._finished = finished
        self._clock = clock

    async def delete(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        issued = self._states.verify(request.match_info["id"], key.tenant)
        await nothing_else(request)
        try:
            async with asyncio.timeout(self._seconds):
                await self._delete(issued)
        except TimeoutError:
            raise unavailable("Much of the batch is deleted. Ask again for the rest.") from None
        except (Unavailable, Overloaded):
            raise unavailable("It is not known whether all of the batch was deleted. Ask again.") from None
        self._finished.put(deleted(issued.text))
        return web.Response(status=204, headers={"Cache-Control": "no-store"})

    async def _delete(self, issued: IssuedId) -> None:
        found = await self._states.found(issued)
        if found is None or found.value.deleted_at is None:
            await self._erase_all(await self._states.document(issued))
            await self._erase(issued)
        await self._eraser.erase(issued.text)

    async def _erase_all(self, batch: Batch) -> None:
        """What belongs to the batch. Raises Problem where it is not over."""
        if not batch.status.terminal:
            members = {"batch": orjson.Fragment(batch_snapshot(batch).body)}
            raise Problem(BATCH_NOT_TERMINAL, f"The batch is {batch.status}. Cancel it first.", members=members)
        jobs = self._jobs_of(batch)
        while some := list(islice(jobs, AT_ONCE)):
            await self._erase_jobs(batch.spec.tenant, some)
        for chunk in await uploaded(self._chunks, batch.spec.id):
            await self._chunks.remove(batch.spec.id, chunk.number)

    def _jobs_of(self, batch: Batch) -> Iterator[str]:
        spec = batch.spec
        if batch.reduction is not None:
            yield batch.reduction.job
        id_of = self._ids.items(spec.tenant, spec.id)
        for index in range(batch.total):
            yield id_of(index)

    async def _erase_jobs(self, tenant: str, ids: Sequence[str]) -> None:
        found = await self._jobs.outcomes(ids)
        left = [id for id, job in zip(ids, found, strict=True) if job is not None and job.deleted_at is None]
        outcomes = await asyncio.gather(*(self._erase_one(tenant, id) for id in left), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _erase_one(self, tenant: str, id: str) -> None:
        issued = self._ids.verify("job", tenant, id)
        assert issued is not None
        try:
            await self._erase_job(issued, tenant)
        except Problem as problem:
            if problem.type is not GONE:  # past its retention: nobody can read it any more
                raise

    async def _erase(self, issued: IssuedId) -> None:
        """The document becomes a stub."""
        for _ in range(MAX_ROUNDS):
            stored = await self._states.found(issued)
            if stored is None:
                raise gone("batch")
            if stored.value.deleted_at is not None or await self._written(stored):
                return
        raise unavailable("The batch changes too often to be deleted. Ask again.")

    async def _written(self, stored: Stored[Batch]) -> bool:
        """False when somebody else wrote first, or when that is not known: look again."""
        stub = stored.value.erased(at=self._clock.now())
        try:
            return isinstance(await self._store.replace(stub, stored.version), Version)
        except CommitUnknown:
            return False
