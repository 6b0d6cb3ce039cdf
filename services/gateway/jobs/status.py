"""What state a job is in: from memory, else Redis, else Firestore, else from its id alone.

Called by `jobs` (and by `waiting` when a waiter looks again). Ids are verified before anything is asked, so a forged
or foreign one costs no look-up. A missing document means, with certainty: within its lifetime the job is queued, after
it expired.
"""

from services.gateway.http.problems import gone, not_found
from services.gateway.jobs.finished import Finished, Kept
from services.gateway.jobs.lookup import Lookup
from services.gateway.settings import Settings
from shared.cache.contract import Snapshots
from shared.cache.lifetimes import LIVE_TTL_SECONDS
from shared.clock import MILLISECONDS, Clock
from shared.ids import Ids, IssuedId
from shared.models.job import Job, Retention
from shared.models.public import Snapshot, snapshot, unclaimed
from shared.storage.contract import JobReader, Stored


class Statuses:
    def __init__(
        self,
        settings: Settings,
        *,
        ids: Ids,
        finished: Finished,
        cache: Snapshots,
        store: JobReader,
        retention: Retention,
        clock: Clock,
    ) -> None:
        self._ids = ids
        self._finished = finished
        self._lookup = Lookup("job", finished=finished, cache=cache, store=store, store_seconds=settings.store_seconds)
        self._retention = retention
        self._clock = clock

    def verify(self, id: str, tenant: str) -> IssuedId:
        """Raises Problem 404 for an id that was never issued to this tenant, without asking anyone."""
        issued = self.issued(id, tenant)
        if issued is None:
            raise not_found()
        return issued

    def issued(self, id: str, tenant: str) -> IssuedId | None:
        """The id if it was issued to this tenant, without asking anyone."""
        return self._ids.verify("job", tenant, id)

    def at_hand(self, id: str, tenant: str) -> Snapshot | None:
        """The finished job if it is in memory and the tenant's: no waiting."""
        kept = self.kept(id, tenant)
        return kept.snapshot if kept else None

    def kept(self, id: str, tenant: str) -> Kept | None:
        """As `at_hand`, for the hottest path: an id is verified once for its tenant."""
        kept = self._finished.kept(id)
        if kept is None or kept.tenant == tenant:
            return kept
        if self.issued(id, tenant) is None:
            return None
        kept.tenant = tenant
        return kept

    async def read(self, issued: IssuedId, *, at_least: int = 0) -> Snapshot:
        """The job's state.

        at_least: the newest order that the reader has seen; an older cache entry is not good enough.
        Raises Problem: 410 past retention, 503 when nobody can tell.
        """
        return await self.known(issued, at_least=at_least) or self.unclaimed(issued)

    async def known(self, issued: IssuedId, *, at_least: int = 0) -> Snapshot | None:
        """As `read`, but None where nothing but the id is known: not even that the job was ever accepted."""
        copy = await self._lookup.copy(issued.text, at_least=at_least)
        if copy is None:
            return await self._stored(issued)
        if copy.unattempted and self._clock.now() > issued.created_at + LIVE_TTL_SECONDS * MILLISECONDS:
            # Kept this long for those who wait. That an attempt began may have been lost on the way to Redis.
            return await self._stored(issued) or copy
        return copy

    async def stored(self, issued: IssuedId) -> Snapshot:
        """The job's state by the store, or by its id where no worker has claimed it. Raises Problem as `read`."""
        return await self._stored(issued) or self.unclaimed(issued)

    async def _stored(self, issued: IssuedId) -> Snapshot | None:
        job = await self.document(issued)
        if job is None:
            return None
        found = snapshot(job)
        self._finished.put(found)
        return found

    async def document(self, issued: IssuedId) -> Job | None:
        """The job as stored, or None where no worker has claimed it. Raises Problem as `read`."""
        found = await self.found(issued)
        return found.value if found else None

    async def found(self, issued: IssuedId) -> Stored[Job] | None:
        """As `document`, with when it was written."""
        stored = await self._lookup.document(issued.text)
        if stored is not None and self._retention.over(stored.value, self._clock.now()):
            raise gone()
        return stored

    def unclaimed(self, issued: IssuedId) -> Snapshot:
        """The state of a job that has no document. Raises Problem 410 past its retention."""
        now = self._clock.now()
        if now >= issued.expires_at + self._retention.other_seconds * MILLISECONDS:
            raise gone()
        return unclaimed(issued.text, created_at=issued.created_at, expires_at=issued.expires_at, now=now)
