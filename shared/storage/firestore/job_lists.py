"""Lists of jobs, newest first: the contract's JobLists on Firestore.

The shards that lead the indexes are asked side by side and merged. Each is asked for a little more than its even share
of a page, and again when the merge has used that up: a page of 100 costs about 220 reads instead of 1,600.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from shared.models.job import Job
from shared.storage.contract import JOB_SHARDS, JobFilter, Place
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.job_codec import SPEC_FIELDS, STATE_FIELDS, job_of, label_strings
from shared.storage.firestore.protobuf import (
    ABOVE,
    ALL_OF,
    BELOW,
    CONTAINS,
    DESCENDING,
    EQUAL,
    Message,
    StructuredQuery,
)
from shared.storage.firestore.values import set_timestamp

SUMMARY_FIELDS: Final = tuple(
    field for field in (*SPEC_FIELDS, *STATE_FIELDS) if field not in {"input", "output", "traceparent", "replaces"}
)
_NAME: Final = "__name__"


class FirestoreJobLists:
    """See `JobLists`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._jobs = database.collection("jobs")

    async def page(self, wanted: JobFilter, *, after: Place | None, limit: int) -> Sequence[Job]:
        share = min(limit, math.ceil(1.3 * limit / JOB_SHARDS) + 5)
        runs = [_Run(self, wanted, shard, after, share) for shard in range(JOB_SHARDS)]
        page: list[Job] = []
        while len(page) < limit:
            await _all_filled(runs)
            ahead = max((run for run in runs if run.jobs), key=lambda run: Place.of(run.jobs[0]), default=None)
            if ahead is None:
                break
            page.append(ahead.jobs.popleft())
        return page

    async def summaries(self, ids: Sequence[str]) -> Sequence[Job | None]:
        if not ids:
            return []
        found = await self._database.pick(map(self._jobs.name, ids), SUMMARY_FIELDS)
        by_id = {job.spec.id: job for job in self._read(each.document for each in found)}
        return [by_id.get(id) for id in ids]

    async def run_of(self, wanted: JobFilter, shard: int, after: Place | None, limit: int) -> Sequence[Job]:
        """The newest jobs of one shard. Raises StoreUnavailable."""
        query = list_query(wanted, shard, limit)
        if after is not None:
            cursor = query.start_at  # not `before` these values: behind them
            set_timestamp(cursor.values.add().timestamp_value, after.created_at)
            cursor.values.add().reference_value = self._jobs.name(after.id)
        return self._read(each.document for each in await self._database.query(query))

    def _read(self, documents: Iterable[Message]) -> list[Job]:
        return [job_of(self._jobs.id(document.name), document.fields) for document in documents]


class _Run:
    """What one shard has for a page, newest first."""

    def __init__(
        self, lists: FirestoreJobLists, wanted: JobFilter, shard: int, after: Place | None, share: int
    ) -> None:
        self._lists = lists
        self._wanted = wanted
        self._shard = shard
        self._after = after
        self._share = share
        self._ended = False
        self.jobs: deque[Job] = deque()

    @property
    def wanting(self) -> bool:
        """Whether there may be more than `jobs`, which are used up."""
        return not self.jobs and not self._ended

    async def fill(self) -> None:
        found = await self._lists.run_of(self._wanted, self._shard, self._after, self._share)
        self.jobs.extend(found)
        self._ended = len(found) < self._share
        if found:
            self._after = Place.of(found[-1])


async def _all_filled(runs: Sequence[_Run]) -> None:
    wanting = [run.fill() for run in runs if run.wanting]
    if wanting:
        for outcome in await asyncio.gather(*wanting, return_exceptions=True):
            if outcome is not None:
                raise outcome


def list_query(wanted: JobFilter, shard: int, limit: int) -> Message:
    """The query for the newest jobs of one shard. Each combination of fields has its index."""
    query = StructuredQuery()
    query.from_.add().collection_id = "jobs"
    query.select.fields.extend([StructuredQuery.FieldReference(field_path=field) for field in SUMMARY_FIELDS])
    query.where.composite_filter.op = ALL_OF
    _where(query, "tenant", EQUAL).string_value = wanted.tenant
    _where(query, "shard", EQUAL).integer_value = shard
    if wanted.status is not None:
        _where(query, "status", EQUAL).string_value = wanted.status
    if wanted.handler is not None:
        _where(query, "handler", EQUAL).string_value = wanted.handler
    if wanted.label is not None:
        [label] = label_strings(dict([wanted.label]))
        _where(query, "labels", CONTAINS).string_value = label
    if wanted.created_after is not None:
        set_timestamp(_where(query, "created_at", ABOVE).timestamp_value, wanted.created_after)
    if wanted.created_before is not None:
        set_timestamp(_where(query, "created_at", BELOW).timestamp_value, wanted.created_before)
    for field in ("created_at", _NAME):
        order = query.order_by.add()
        order.field.field_path = field
        order.direction = DESCENDING
    query.limit.value = limit
    return query


def _where(query: Message, field: str, operator: int) -> Message:
    """A condition on `field`; what is returned is to be set to the value."""
    condition = query.where.composite_filter.filters.add().field_filter
    condition.field.field_path = field
    condition.op = operator
    return condition.value
