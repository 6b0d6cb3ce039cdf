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
    telling = _telling(settings, adapters, reading, accepting)
    return JobEndpoints(
        posting=accepting.posting,
        lists=_lists(adapters, reading),
        jobs=Jobs(
            statuses=reading.statuses,
            waiting=reading.waiting,
            progress=reading.progress,
            run_times=adapters.statistics.run_times,
        ),
        deletes=_deletes(adapters, reading, telling, cleaner),
        cancels=Cancels(
            statuses=reading.statuses,
            finished=reading.finished,
            store=reading.store,
            telling=telling,
            retention=reading.retention,
            clock=reading.clock,
        ),
        replays=Replays(
            desk=accepting.desk, idempotency=accepting.idempotency, ids=reading.ids, retention=reading.retention
        ),
        explains=_explains(settings, adapters, reading, handlers),
        events=Events(
            statuses=reading.statuses,
            waiting=reading.waiting,
            feeds=reading.feeds,
            progress=reading.progress,
            chance=random.random,
        ),
    )


def _telling(settings: Settings, adapters: Adapters, reading: Reading, accepting: Accepting) -> Telling:
    return Telling(
        settings,
        teller=reading.cache,
        flights=RedisFlights(adapters.redis),
        caller=RedisCancellations(adapters.redis),
        publisher=adapters.publisher,
        aside=accepting.aside,
        clock=reading.clock,
    )


def _lists(adapters: Adapters, reading: Reading) -> Lists:
    return Lists(
        lists=FirestoreJobLists(adapters.database),
        recent=reading.recent,
        ids=reading.ids,
        cursors=Cursors(reading.keys),
        retention=reading.retention,
        clock=reading.clock,
    )


def _deletes(adapters: Adapters, reading: Reading, telling: Telling, cleaner: Cleaner) -> Deletes:
    return Deletes(
        statuses=reading.statuses,
        finished=reading.finished,
        store=reading.store,
        timers=FirestoreTimers(adapters.database),
        telling=telling,
        cleaner=cleaner,
        retention=reading.retention,
        clock=reading.clock,
    )


def _explains(settings: Settings, adapters: Adapters, reading: Reading, handlers: Handlers) -> Explains:
    controls, board = FirestoreQueueControls(adapters.database), RedisLanes(adapters.redis)
    return Explains(
        statuses=reading.statuses,
        cache=reading.cache,
        handlers=handlers,
        queues=QueueStates(handlers, controls, board, Names(settings.prefix), reading.clock),
        run_times=adapters.statistics.run_times,
        clock=reading.clock,
    )
