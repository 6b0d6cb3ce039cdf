"""The routes of operators, and those that need no key."""

import os

from services.gateway.access.auth import Authenticator
from services.gateway.catalogue.handlers import Handlers
from services.gateway.catalogue.routes import CatalogueRoutes
from services.gateway.http.paging import Cursors
from services.gateway.jobs.replay import Replays
from services.gateway.openapi import parts
from services.gateway.openapi.served import Description
from services.gateway.operators.dead_letters import DeadLetterRoutes, Letters
from services.gateway.operators.dead_replay import DeadReplays
from services.gateway.operators.keys import KeyRoutes
from services.gateway.operators.queues import QueueRoutes
from services.gateway.pages.docs import Docs
from services.gateway.pages.problem_pages import ProblemPages
from services.gateway.routes import (
    OpenEndpoints,
    OperatorEndpoints,
)
from services.gateway.settings import Settings
from services.gateway.wiring.adapters import Adapters
from services.gateway.wiring.reading import Reading
from shared.cache.redis.lanes import RedisLanes
from shared.lifecycle import Runtime
from shared.messaging.topics import Names
from shared.storage.firestore import (
    FirestoreDeadLetters,
    FirestoreKeys,
    FirestoreQueueControls,
)


def operator_endpoints(
    settings: Settings,
    adapters: Adapters,
    reading: Reading,
    handlers: Handlers,
    authenticator: Authenticator,
    replays: Replays,
) -> OperatorEndpoints:
    cursors, clock = Cursors(reading.keys), reading.clock
    letters = Letters(FirestoreDeadLetters(adapters.database), reading.retention, clock)
    return OperatorEndpoints(
        catalogue=CatalogueRoutes(handlers, cursors, adapters.statistics.run_times),
        keys=KeyRoutes(FirestoreKeys(adapters.database), authenticator, cursors, clock, os.urandom),
        queues=QueueRoutes(
            handlers=handlers,
            controls=FirestoreQueueControls(adapters.database),
            board=RedisLanes(adapters.redis),
            names=Names(settings.prefix),
            clock=clock,
        ),
        dead_letters=DeadLetterRoutes(letters, cursors),
        dead_replays=DeadReplays(letters, replays, reading.statuses, reading.store, cursors, clock),
        statistics=adapters.statistics.routes,
    )


def open_endpoints(handlers: Handlers, runtime: Runtime) -> OpenEndpoints:
    document = parts.load()
    return OpenEndpoints(runtime.readiness, Description(document, handlers), Docs(), ProblemPages(document))
