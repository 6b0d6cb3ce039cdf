"""What makes jobs, and works beside the requests."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from services.gateway.aside import Aside
from services.gateway.catalogue.handlers import Handlers
from services.gateway.jobs.desk import Desk
from services.gateway.jobs.idempotency import Idempotency
from services.gateway.jobs.posting import Posting
from services.gateway.jobs.sharing import Sharing
from services.gateway.jobs.submit import Submitter
from services.gateway.settings import Settings
from services.gateway.wiring.adapters import Adapters
from services.gateway.wiring.reading import Reading
from services.gateway.wiring.webhooks import job_hooks
from shared.cache.redis.flights import RedisFlights
from shared.cache.redis.replays import RedisReplays
from shared.lifecycle import Runtime
from shared.storage.firestore import FirestoreIdempotency
from shared.telemetry.metrics import CACHE_ANSWERS


@dataclass(frozen=True, slots=True)
class Accepting:
    """What makes jobs, and works beside the requests."""

    desk: Desk
    posting: Posting
    idempotency: Idempotency
    aside: Aside


@asynccontextmanager
async def accepting_parts(
    settings: Settings, runtime: Runtime, adapters: Adapters, reading: Reading, handlers: Handlers
) -> AsyncIterator[Accepting]:
    """Ends when all that was being accepted is, and told."""
    submitter = Submitter(
        settings,
        ids=reading.ids,
        handlers=handlers,
        publisher=adapters.publisher,
        schedules=reading.store,
        clock=reading.clock,
        hooks=job_hooks(settings, adapters.database, reading.clock),
        usage=adapters.statistics.usage,
    )
    aside = Aside()
    sharing = Sharing(
        flights=RedisFlights(adapters.redis),
        submitter=submitter,
        statuses=reading.statuses,
        finished=reading.finished,
        recent=reading.recent,
        aside=aside,
        answers=runtime.metrics.counter(CACHE_ANSWERS),
        usage=adapters.statistics.usage,
        clock=reading.clock,
    )
    idempotency = Idempotency(
        settings,
        requests=FirestoreIdempotency(adapters.database),
        replays=RedisReplays(adapters.redis),
        aside=aside,
        clock=reading.clock,
    )
    async with aclosing(aside), aclosing(sharing):
        desk = Desk(submitter, sharing, reading.statuses, reading.recent, reading.clock)
        posting = Posting(
            settings,
            desk=desk,
            idempotency=idempotency,
            waiting=reading.waiting,
            progress=reading.progress,
            run_times=adapters.statistics.run_times,
        )
        yield Accepting(desk, posting, idempotency, aside)
