"""`GET /v1/batches/{id}/outputs`: what every item gave, a line each in the order of their indexes, as a stream.

Pages of items are read only as fast as the client takes them, and are smaller the larger the outputs are: what is in
memory does not depend on the size of the batch. Where the store stops answering on the way, the connection is cut, so
that nobody takes a part for the whole; `?start=` goes on at an index.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import orjson
from aiohttp import web

from services.gateway.batches.lines import CONTENT_TYPE
from services.gateway.batches.states import BatchStates
from services.gateway.http.edge import REQUEST_ID
from services.gateway.http.fields import BeyondError, Fields, MalformedError
from services.gateway.http.paging import check_query
from services.gateway.http.problems import BATCH_NOT_TERMINAL, Problem
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.ids import Ids
from shared.models import bitmap
from shared.models.batch import Batch
from shared.models.batch_public import batch_snapshot
from shared.models.job import Job, JobStatus, Retention
from shared.models.key import ApiKey
from shared.storage.contract import JobOutcomes

MAX_AT_ONCE: Final = 100
FIRST_AT_ONCE: Final = 8
PAGE_BYTES: Final = 1_000_000
"""About what a page should come to."""
WRITE_SECONDS: Final = 30.0
"""For the client to take a page."""
STORE_ROUNDS: Final = 3

_log = logging.getLogger("sluice.gateway")


class BatchOutputs:
    def __init__(self, *, states: BatchStates, jobs: JobOutcomes, ids: Ids, retention: Retention, clock: Clock) -> None:
        self._states = states
        self._jobs = jobs
        self._ids = ids
        self._retention = retention
        self._clock = clock

    async def get(self, request: web.Request, key: ApiKey) -> web.StreamResponse:
        """The endpoint."""
        issued = self._states.verify(request.match_info["id"], key.tenant)
        check_query(request, {"partial", "start"})
        partial, start = _asked(request)
        batch = await self._states.document(issued)
        if not batch.status.terminal and not partial:
            members = {"batch": orjson.Fragment(batch_snapshot(batch).body)}
            raise Problem(BATCH_NOT_TERMINAL, f"The batch is {batch.status}.", members=members)
        response = web.StreamResponse(
            headers={
                "Content-Type": CONTENT_TYPE,
                "Cache-Control": "private, no-cache",
                "X-Request-Id": request[REQUEST_ID],
                "Server": "sluice",
            }
        )
        await response.prepare(request)
        with suppress(ConnectionResetError):
            await self._stream(request, response, batch, start)
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse, batch: Batch, start: int) -> None:
        over = bitmap.full(batch.shown_total) & batch.items.over
        indexes, at_once = bitmap.members(over, start), FIRST_AT_ONCE
        try:
            while some := list(islice(indexes, at_once)):
                page = b"".join(self._lines(batch, some, await self._read(batch, some)))
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(page)
                at_once = max(1, min(MAX_AT_ONCE, at_once * 2, PAGE_BYTES * len(some) // len(page)))
            async with asyncio.timeout(WRITE_SECONDS):
                await response.write_eof()
        except (Unavailable, Overloaded, TimeoutError) as fault:
            _log.warning("outputs were cut off", extra={"batch": batch.spec.id, "fault": type(fault).__name__})
            if request.transport is not None:
                request.transport.abort()

    async def _read(self, batch: Batch, indexes: Sequence[int]) -> Sequence[Job | None]:
        id_of = self._ids.items(batch.spec.tenant, batch.spec.id)
        return await self._jobs.outcomes([id_of(index) for index in indexes])

    def _lines(self, batch: Batch, indexes: Sequence[int], jobs: Sequence[Job | None]) -> Iterator[bytes]:
        now, id_of = self._clock.now(), self._ids.items(batch.spec.tenant, batch.spec.id)
        for index, job in zip(indexes, jobs, strict=True):
            readable = job if job is not None and not self._retention.over(job, now) else None
            yield orjson.dumps(
                {
                    "index": index,
                    "id": id_of(index),
                    "status": _status(batch, index),
                    "output": _output(readable),
                    "error": _error(readable),
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )


def _status(batch: Batch, index: int) -> JobStatus:
    """Of an item that is over: what the batch counts it as."""
    ends = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED)
    sets = (batch.items.succeeded, batch.items.failed, batch.items.canceled, batch.items.expired)
    return next(end for end, bits in zip(ends, sets, strict=True) if bits >> index & 1)


def _output(job: Job | None) -> Any:
    return None if job is None or job.output is None else orjson.Fragment(job.output)


def _error(job: Job | None) -> dict[str, Any] | None:
    if job is None or job.error is None:
        return None
    return {"code": job.error.code, "message": job.error.message, "retryable": job.error.retryable}


def _asked(request: web.Request) -> tuple[bool, int]:
    """Whether what is there so far will do, and the index to begin with. Raises Problem."""
    fields = Fields(dict(request.query), of="this query")
    partial: bool | None = fields.optional("partial", _flag)
    start: int | None = fields.optional("start", _index)
    fields.finish()
    return bool(partial), start or 0


def _flag(value: str) -> bool:
    if value not in {"true", "false"}:
        raise MalformedError("must be true or false")
    return value == "true"


def _index(value: str) -> int:
    if not value.isascii() or not value.isdecimal():
        raise MalformedError("must be a whole number")
    if len(value) > 9:
        raise BeyondError("must be at most 999999999")
    return int(value)
