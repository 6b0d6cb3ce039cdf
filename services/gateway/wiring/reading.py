"""What tells the state of jobs and batches, and holds who waits for them."""

import random
from dataclasses import dataclass

from services.gateway.batches.states import AllStates, BatchStates
from services.gateway.jobs.feeds import Feeds
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.progress import Progress
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.waiting import Waiting
from services.gateway.settings import Settings
from services.gateway.wiring.adapters import Adapters
from services.gateway.wiring.batches import BatchStores
from shared.cache.redis.recent import RedisRecent
from shared.cache.redis.snapshots import RedisSnapshots
from shared.cache.redis.streams import RedisStreams
from shared.clock import Clock, SystemClock
from shared.ids import IdKeys, Ids
from shared.models.job import Retention
from shared.storage.firestore import FirestoreJobs


@dataclass(frozen=True, slots=True)
class Reading:
    """What tells the state of jobs."""

    clock: Clock
    keys: IdKeys
    ids: Ids
    retention: Retention
    cache: RedisSnapshots
    streams: RedisStreams
    recent: RedisRecent
    finished: Finished
    store: FirestoreJobs
    statuses: Statuses
    batches: BatchStates
    waiting: Waiting
    feeds: Feeds
    progress: Progress


def reading_parts(settings: Settings, adapters: Adapters) -> Reading:
    clock, keys = SystemClock(), IdKeys.parse(settings.id_keys.reveal())
    ids, cache, streams = Ids(keys), RedisSnapshots(adapters.redis), RedisStreams(adapters.redis)
    finished = Finished(settings.finished_bytes, clock)
    retention = Retention(settings.retention_succeeded_seconds, settings.retention_other_seconds)
    store = FirestoreJobs(adapters.database, retention)
    statuses = Statuses(
        settings, ids=ids, finished=finished, cache=cache, store=store, retention=retention, clock=clock
    )
    stores = BatchStores.firestore(adapters.database, retention)
    batches = BatchStates(
        settings, ids=ids, finished=finished, cache=cache, store=stores.batches, retention=retention, clock=clock
    )
    states = AllStates(statuses, batches)
    waiting = Waiting(settings, cache=cache, statuses=states, finished=finished, clock=clock, chance=random.random)
    feeds = Feeds(settings, streams=streams, clock=clock, chance=random.random)
    recent = RedisRecent(adapters.redis)
    progress = Progress(streams)
    return Reading(
        clock,
        keys,
        ids,
        retention,
        cache,
        streams,
        recent,
        finished,
        store,
        statuses,
        batches,
        waiting,
        feeds,
        progress,
    )
