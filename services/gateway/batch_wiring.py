"""The part of the composition root that builds the routes of batches on the adapters of `app`."""

from dataclasses import dataclass

from services.gateway.aside import Aside
from services.gateway.batches.cancel import BatchCancels
from services.gateway.batches.delete import BatchDeletes, EraseJob
from services.gateway.batches.items import BatchItems
from services.gateway.batches.opening import Opening
from services.gateway.batches.outputs import BatchOutputs
from services.gateway.batches.posting import BatchDesk, BatchPosting
from services.gateway.batches.reading import BatchReading
from services.gateway.batches.states import BatchStates
from services.gateway.batches.telling import BatchTelling
from services.gateway.batches.upload import Uploads
from services.gateway.finished import Finished
from services.gateway.handlers import Handlers
from services.gateway.idempotency import Idempotency
from services.gateway.paging import Cursors
from services.gateway.rates import Limiter
from services.gateway.routes import BatchEndpoints
from services.gateway.settings import Settings
from services.gateway.waiting import Waiting
from services.gateway.webhook_wiring import job_hooks
from shared.cache.redis.snapshots import RedisSnapshots
from shared.clock import Clock
from shared.ids import IdKeys, Ids
from shared.messaging.contract import BulkPublisher
from shared.models.job import Retention
from shared.storage.firestore import FirestoreBatches, FirestoreChunks, FirestoreDatabase, FirestoreJobLists


@dataclass(frozen=True, slots=True)
class BatchParts:
    """What batches are built on, of what `app` has made."""

    database: FirestoreDatabase
    publisher: BulkPublisher
    cache: RedisSnapshots
    keys: IdKeys
    finished: Finished
    retention: Retention
    handlers: Handlers
    limiter: Limiter
    waiting: Waiting
    idempotency: Idempotency
    aside: Aside
    erase_job: EraseJob
    clock: Clock


def batch_states(
    settings: Settings,
    database: FirestoreDatabase,
    *,
    ids: Ids,
    finished: Finished,
    cache: RedisSnapshots,
    retention: Retention,
    clock: Clock,
) -> BatchStates:
    store = FirestoreBatches(database, retention)
    return BatchStates(settings, ids=ids, finished=finished, cache=cache, store=store, retention=retention, clock=clock)


def batch_endpoints(settings: Settings, states: BatchStates, parts: BatchParts) -> BatchEndpoints:
    store, chunks = FirestoreBatches(parts.database, parts.retention), FirestoreChunks(parts.database)
    ids, jobs, cursors = Ids(parts.keys), FirestoreJobLists(parts.database), Cursors(parts.keys)
    retention, clock = parts.retention, parts.clock
    telling = BatchTelling(settings, teller=parts.cache, publisher=parts.publisher)
    return BatchEndpoints(
        posting=_posting(settings, states, parts, store, chunks, telling),
        reading=BatchReading(
            states=states, waiting=parts.waiting, lists=store, cursors=cursors, retention=retention, clock=clock
        ),
        items=BatchItems(states=states, jobs=jobs, ids=ids, cursors=cursors, retention=retention, clock=clock),
        outputs=BatchOutputs(states=states, jobs=jobs, ids=ids, retention=retention, clock=clock),
        cancels=BatchCancels(states=states, store=store, telling=telling, clock=clock),
        deletes=BatchDeletes(
            settings,
            states=states,
            store=store,
            chunks=chunks,
            jobs=jobs,
            ids=ids,
            erase_job=parts.erase_job,
            eraser=parts.cache,
            finished=parts.finished,
            clock=clock,
        ),
    )


def _posting(
    settings: Settings,
    states: BatchStates,
    parts: BatchParts,
    store: FirestoreBatches,
    chunks: FirestoreChunks,
    telling: BatchTelling,
) -> BatchPosting:
    ids, clock = Ids(parts.keys), parts.clock
    opening = Opening(
        settings,
        ids=ids,
        handlers=parts.handlers,
        hooks=job_hooks(settings, parts.database, clock),
        batches=store,
        clock=clock,
    )
    uploads = Uploads(
        settings,
        ids=ids,
        publisher=parts.publisher,
        batches=store,
        chunks=chunks,
        limiter=parts.limiter,
        clock=clock,
    )
    desk = BatchDesk(settings, opening, uploads, states, store, telling, parts.aside, clock)
    return BatchPosting(desk, idempotency=parts.idempotency, waiting=parts.waiting)
