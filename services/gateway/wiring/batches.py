"""The part of the composition root that builds the routes of batches on the adapters of `app`."""

from dataclasses import dataclass
from typing import Protocol, Self

from services.gateway.access.rates import Limiter
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
from services.gateway.catalogue.handlers import Handlers
from services.gateway.http.paging import Cursors
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.hooks import JobHooks
from services.gateway.jobs.idempotency import Idempotency
from services.gateway.jobs.waiting import Waiting
from services.gateway.routes import BatchEndpoints
from services.gateway.settings import Settings
from shared.cache.contract import Eraser, Snapshots, Teller
from shared.clock import Clock
from shared.ids import IdKeys, Ids
from shared.messaging.contract import BulkPublisher
from shared.models.job import Retention
from shared.storage.batch_contract import Batches, Chunks
from shared.storage.contract import JobLists, JobOutcomes
from shared.storage.firestore import FirestoreBatches, FirestoreChunks, FirestoreDatabase, FirestoreJobLists


class Cache(Teller, Snapshots, Eraser, Protocol):
    """What of the cache concerns the states of batches."""


class Items(JobLists, JobOutcomes, Protocol):
    """What reads the jobs of a batch."""


@dataclass(frozen=True, slots=True)
class BatchStores:
    batches: Batches
    chunks: Chunks
    items: Items

    @classmethod
    def firestore(cls, database: FirestoreDatabase, retention: Retention) -> Self:
        return cls(FirestoreBatches(database, retention), FirestoreChunks(database), FirestoreJobLists(database))


@dataclass(frozen=True, slots=True)
class BatchParts:
    """What the routes of batches are built on."""

    stores: BatchStores
    publisher: BulkPublisher
    cache: Cache
    keys: IdKeys
    states: BatchStates
    finished: Finished
    retention: Retention
    handlers: Handlers
    hooks: JobHooks
    limiter: Limiter
    waiting: Waiting
    idempotency: Idempotency
    aside: Aside
    erase_job: EraseJob
    clock: Clock


def batch_endpoints(settings: Settings, parts: BatchParts) -> BatchEndpoints:
    stores, states, ids, cursors = parts.stores, parts.states, Ids(parts.keys), Cursors(parts.keys)
    retention, clock = parts.retention, parts.clock
    telling = BatchTelling(settings, teller=parts.cache, publisher=parts.publisher)
    return BatchEndpoints(
        posting=_posting(settings, parts, telling),
        reading=BatchReading(
            states=states,
            waiting=parts.waiting,
            lists=stores.batches,
            cursors=cursors,
            retention=retention,
            clock=clock,
        ),
        items=BatchItems(states=states, jobs=stores.items, ids=ids, cursors=cursors, retention=retention, clock=clock),
        outputs=BatchOutputs(states=states, jobs=stores.items, ids=ids, retention=retention, clock=clock),
        cancels=BatchCancels(states=states, store=stores.batches, telling=telling, clock=clock),
        deletes=BatchDeletes(
            settings,
            states=states,
            store=stores.batches,
            chunks=stores.chunks,
            jobs=stores.items,
            ids=ids,
            erase_job=parts.erase_job,
            eraser=parts.cache,
            finished=parts.finished,
            clock=clock,
        ),
    )


def _posting(settings: Settings, parts: BatchParts, telling: BatchTelling) -> BatchPosting:
    stores, ids, clock = parts.stores, Ids(parts.keys), parts.clock
    opening = Opening(
        settings, ids=ids, handlers=parts.handlers, hooks=parts.hooks, batches=stores.batches, clock=clock
    )
    uploads = Uploads(
        settings,
        ids=ids,
        publisher=parts.publisher,
        batches=stores.batches,
        chunks=stores.chunks,
        limiter=parts.limiter,
        clock=clock,
    )
    desk = BatchDesk(settings, opening, uploads, parts.states, stores.batches, telling, parts.aside, clock)
    return BatchPosting(desk, idempotency=parts.idempotency, waiting=parts.waiting)
