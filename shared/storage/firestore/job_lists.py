"""Lists of jobs, newest first: the contract's JobLists on Firestore.

The shards that lead the indexes are asked side by side, and `merging` puts them together.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from shared.models.job import Job
from shared.storage.contract import JobFilter, Place
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.job_codec import SPEC_FIELDS, STATE_FIELDS, job_of, label_strings
from shared.storage.firestore.merging import merged
from shared.storage.firestore.protobuf import (
    ABOVE,
    BELOW,
    CONTAINS,
    DESCENDING,
    EQUAL,
    Message,
)
from shared.storage.firestore.structured import order, query_of, select, start_behind, where
from shared.storage.firestore.values import set_timestamp

SUMMARY_FIELDS: Final = tuple(
    field
    for field in (*SPEC_FIELDS, *STATE_FIELDS)
    if field not in {"input", "output", "traceparent", "webhook", "replaces", "dead_at"}
)
OUTCOME_FIELDS: Final = ("status", "attempt", "started_at", "finished_at", "output", "error", "attempts", "deleted_at")
_NAME: Final = "__name__"


class FirestoreJobLists:
    """See `JobLists` and `JobOutcomes`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._jobs = database.collection("jobs")

    async def page(self, wanted: JobFilter, *, after: Place | None, limit: int) -> Sequence[Job]:
        async def fetch(shard: int, behind: Place | None, share: int) -> Sequence[Job]:
            return await self._run(wanted, shard, behind, share)

        return await merged(fetch, Place.of, after=after, limit=limit)

    async def summaries(self, ids: Sequence[str]) -> Sequence[Job | None]:
        return await self._picked(ids, SUMMARY_FIELDS)

    async def outcomes(self, ids: Sequence[str]) -> Sequence[Job | None]:
        return await self._picked(ids, OUTCOME_FIELDS)

    async def _picked(self, ids: Sequence[str], fields: Iterable[str]) -> Sequence[Job | None]:
        if not ids:
            return []
        found = await self._database.pick(map(self._jobs.name, ids), fields)
        by_id = {job.spec.id: job for job in self._read(each.document for each in found)}
        return [by_id.get(id) for id in ids]

    async def _run(self, wanted: JobFilter, shard: int, after: Place | None, limit: int) -> Sequence[Job]:
        query = list_query(wanted, shard, limit)
        if after is not None:
            start_behind(query, after.created_at, self._jobs.name(after.id))
        return self._read(each.document for each in await self._database.query(query))

    def _read(self, documents: Iterable[Message]) -> list[Job]:
        return [job_of(self._jobs.id(document.name), document.fields) for document in documents]


def list_query(wanted: JobFilter, shard: int, limit: int) -> Message:
    """The query for the newest jobs of one shard. Each combination of fields has its index."""
    query = newest_first("created_at", SUMMARY_FIELDS, limit)
    where(query, "tenant", EQUAL).string_value = wanted.tenant
    where(query, "shard", EQUAL).integer_value = shard
    if wanted.status is not None:
        where(query, "status", EQUAL).string_value = wanted.status
    if wanted.handler is not None:
        where(query, "handler", EQUAL).string_value = wanted.handler
    if wanted.label is not None:
        [label] = label_strings(dict([wanted.label]))
        where(query, "labels", CONTAINS).string_value = label
    if wanted.created_after is not None:
        set_timestamp(where(query, "created_at", ABOVE).timestamp_value, wanted.created_after)
    if wanted.created_before is not None:
        set_timestamp(where(query, "created_at", BELOW).timestamp_value, wanted.created_before)
    return query


def newest_first(time: str, fields: Iterable[str], limit: int) -> Message:
    """A query for `fields` of jobs, in the order of the field `time`; conditions are to be added by `where`."""
    query = query_of("jobs", limit)
    select(query, fields)
    order(query, [time, _NAME], DESCENDING)
    return query
