"""Lists of dead letters, latest first: the contract's DeadLetters on Firestore.

Only a dead letter has `dead_at`, so their indexes hold nothing else, however many jobs there are.
"""

from collections.abc import Sequence

from shared.models.job import Job
from shared.storage.dead_letters import DeadLetterFilter, DeadPlace
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.job_codec import job_of
from shared.storage.firestore.job_lists import SUMMARY_FIELDS, newest_first
from shared.storage.firestore.merging import merged
from shared.storage.firestore.protobuf import ABOVE, BELOW, EQUAL, Message
from shared.storage.firestore.structured import start_behind, where
from shared.storage.firestore.values import set_timestamp


class FirestoreDeadLetters:
    """See `DeadLetters`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._jobs = database.collection("jobs")

    async def page(self, wanted: DeadLetterFilter, *, after: DeadPlace | None, limit: int) -> Sequence[Job]:
        async def fetch(shard: int, behind: DeadPlace | None, share: int) -> Sequence[Job]:
            return await self._run(wanted, shard, behind, share)

        return await merged(fetch, DeadPlace.of, after=after, limit=limit)

    async def _run(self, wanted: DeadLetterFilter, shard: int, after: DeadPlace | None, limit: int) -> Sequence[Job]:
        query = dead_query(wanted, shard, limit)
        if after is not None:
            start_behind(query, after.failed_at, self._jobs.name(after.id))
        found = await self._database.query(query)
        return [job_of(self._jobs.id(each.document.name), each.document.fields) for each in found]


def dead_query(wanted: DeadLetterFilter, shard: int, limit: int) -> Message:
    """The query for the latest dead letters of one shard. Each combination of fields has its index."""
    query = newest_first("dead_at", SUMMARY_FIELDS, limit)
    if wanted.tenant is not None:
        where(query, "tenant", EQUAL).string_value = wanted.tenant
    where(query, "shard", EQUAL).integer_value = shard
    if wanted.handler is not None:
        where(query, "handler", EQUAL).string_value = wanted.handler
    if wanted.fingerprint is not None:
        where(query, "fingerprint", EQUAL).string_value = wanted.fingerprint
    if wanted.failed_after is not None:
        set_timestamp(where(query, "dead_at", ABOVE).timestamp_value, wanted.failed_after)
    if wanted.failed_before is not None:
        set_timestamp(where(query, "dead_at", BELOW).timestamp_value, wanted.failed_before)
    return query
