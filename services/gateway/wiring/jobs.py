"""The routes of jobs."""

import random

from services.gateway.catalogue.handlers import Handlers
from services.gateway.http.paging import Cursors
from services.gateway.jobs.cancel import Cancels, Telling
from services.gateway.jobs.delete import Cleaner, Deletes
from services.gateway.jobs.events import Events
from services.gateway.jobs.explain import Explains
from services.gateway.jobs.listing import Lists
from services.gateway.jobs.queue_state import QueueStates
from services.gateway.jobs.reading import Jobs
from services.gateway.jobs.replay import Replays
from services.gateway.routes import JobEndpoints
from services.gateway.settings import Settings
from services.gateway.wiring.accepting import Accepting
from services.gateway.wiring.adapters import Adapters
from services.gateway.wiring.reading import Reading
from shared.cache.redis.cancellations import RedisCancellations
from shared.cache.redis.flights import RedisFlights
from shared.cache.redis.lanes import RedisLanes
from shared.messaging.topics import Names
from shared.storage.firestore import (
    FirestoreJobLists,
    FirestoreQueueControls,
    FirestoreTimers,
)


def job_endpoints(
    settings: Settings,
    adapters: Adapters,
    reading: Reading,
    accepting: Accepting,
    handlers: Handlers,
    cleaner: Cleaner,
) -> JobEndpoints:
    statuses, retention, clock = reading.statuses, reading.retention, reading.clock
    progress = reading.progress
    telling = Telling(
        settings,
        teller=reading.cache,
        flights=RedisFlights(adapters.redis),
        caller=RedisCancellations(adapters.redis),
        publisher=adapters.publisher,
        aside=accepting.aside,
        clock=clock,
    )
    controls, board = FirestoreQueueControls(adapters.database), RedisLanes(adapters.redis)
    queues = QueueStates(handlers, controls, board, Names(settings.prefix), clock)
    return JobEndpoints(
        posting=accepting.posting,
        lists=Lists(
            lists=FirestoreJobLists(adapters.database),
            recent=reading.recent,
            ids=reading.ids,
            cursors=Cursors(reading.keys),
            retention=retention,
            clock=clock,
        ),
        jobs=Jobs(
            statuses=statuses, waiting=reading.waiting, progress=progress, run_times=adapters.statistics.run_times
        ),
        deletes=Deletes(
            statuses=statuses,
            finished=reading.finished,
            store=reading.store,
            timers=FirestoreTimers(adapters.database),
            telling=telling,
            cleaner=cleaner,
            retention=retention,
            clock=clock,
        ),
        cancels=Cancels(
            statuses=statuses,
            finished=reading.finished,
            store=reading.store,
            telling=telling,
            retention=retention,
            clock=clock,
        ),
        replays=Replays(desk=accepting.desk, idempotency=accepting.idempotency, ids=reading.ids, retention=retention),
        explains=Explains(
            statuses=statuses,
            cache=reading.cache,
            handlers=handlers,
            queues=queues,
            run_times=adapters.statistics.run_times,
            clock=clock,
        ),
        events=Events(
            statuses=statuses,
            waiting=reading.waiting,
            feeds=reading.feeds,
            progress=progress,
            chance=random.random,
        ),
    )
