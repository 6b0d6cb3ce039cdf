"""`POST /v1/batches/{id}/cancel`: written before the answer; the aggregator ends what has not ended.

Items that nobody has started are over at once, those that run are asked to stop, and what is over stays as it is. The
batch is `canceled` when all of its items are over, so the answer is 202, unless it is over already.
"""

import asyncio

import orjson
from aiohttp import web

from services.gateway.batches.states import BatchStates
from services.gateway.batches.telling import BatchTelling
from services.gateway.http.answers import job_answer
from services.gateway.http.asking import nothing_else
from services.gateway.http.problems import BATCH_TERMINAL, Problem, unavailable
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.models.batch import Batch, BatchStatus
from shared.models.batch_public import batch_snapshot
from shared.models.key import ApiKey
from shared.storage.batch_contract import BatchWrites, change

CANCEL_SECONDS = 5.0


class BatchCancels:
    def __init__(self, *, states: BatchStates, store: BatchWrites, telling: BatchTelling, clock: Clock) -> None:
        self._states = states
        self._store = store
        self._telling = telling
        self._clock = clock

    async def post(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        issued = self._states.verify(request.match_info["id"], key.tenant)
        await nothing_else(request)
        await self._states.document(issued)  # 404 and 410
        batch = await self._asked(issued.text)
        if not batch.status.terminal:
            return job_answer(await self._telling.cancel_requested(batch), status=202)
        state = batch_snapshot(batch)
        if batch.status is BatchStatus.CANCELED:
            return job_answer(state)
        members = {"batch": orjson.Fragment(state.body)}
        raise Problem(BATCH_TERMINAL, f"The batch is {batch.status}; it was too late to cancel it.", members=members)

    async def _asked(self, id: str) -> Batch:
        now = self._clock.now()
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                batch = await change(self._store, id, lambda each: each.cancel_requested(at=now))
        except (Unavailable, Overloaded, TimeoutError):
            batch = None
        if batch is None:
            raise unavailable("It is not known whether the batch will be canceled. Ask again.")
        return batch
