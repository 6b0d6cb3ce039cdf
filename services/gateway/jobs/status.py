"""What state a job is in: from memory, else Redis, else Firestore, else from its id alone.

Called by `jobs` (and by `waiting` when a waiter looks again). Ids are verified before anything is asked, so a forged
or foreign one costs no look-up. A missing document means, with certainty: within its lifetime the job is queued, after
it expired.
"""

import asyncio

from services.gateway.http.problems import gone, not_found, unavailable
from services.gateway.jobs.finished import Finished, Kept
from services.gateway.settings import Settings
from shared.cache.contract import LIVE_TTL_SECONDS, Snapshots
from shared.clock import MILLISECONDS, Clock
from shared.errors import CacheUnavailable, Overloaded, Unavailable
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
        self._cache = cache
        self._store = store
        self._retention = retention
        self._clock = clock
        self._store_seconds = settings.store_seconds
        self._reading: dict[str, asyncio.Task[Stored[Job] | None]] = {}

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
        held = self._finished.get(issued.text)
        if held is not None:
            return held
        cached = await self._cached(issued.text)
        if self._finished.is_deleted(issued.text) or (cached is not None and cached.deleted):
            raise gone()
        if cached is None or cached.order < at_least:
            return await self._stored(issued)
        if cached.unattempted and self._clock.now() > issued.created_at + LIVE_TTL_SECONDS * MILLISECONDS:
            # Kept this long for those who wait. That an attempt began may have been lost on the way to Redis.
            return await self._stored(issued) or cached
        self._finished.put(cached)
        return cached

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
        try:
            async with asyncio.timeout(self._store_seconds):
                stored = await self._read_once(issued.text)
        except (Unavailable, Overloaded, TimeoutError):
            raise unavailable("The job cannot be read right now.") from None
        if stored is not None and self._retention.over(stored.value, self._clock.now()):
            raise gone()
        return stored

    async def _read_once(self, id: str) -> Stored[Job] | None:
        """However many ask for one job at once, the store is asked once."""
        reading = self._reading.get(id)
        if reading is None:
            reading = asyncio.create_task(self._store.read(id), name=f"read {id}")
            self._reading[id] = reading
            reading.add_done_callback(lambda read: self._read(id, read))
        return await asyncio.shield(reading)

    def _read(self, id: str, reading: asyncio.Task[Stored[Job] | None]) -> None:
        self._reading.pop(id, None)
        if not reading.cancelled():
            reading.exception()  # everyone who asked may have given up before it failed

    async def _cached(self, id: str) -> Snapshot | None:
        try:
            return await self._cache.fetch(id)
        except (CacheUnavailable, Overloaded):
            return None

    def unclaimed(self, issued: IssuedId) -> Snapshot:
        """The state of a job that has no document. Raises Problem 410 past its retention."""
        now = self._clock.now()
        if now >= issued.expires_at + self._retention.other_seconds * MILLISECONDS:
            raise gone()
        return unclaimed(issued.text, created_at=issued.created_at, expires_at=issued.expires_at, now=now)
