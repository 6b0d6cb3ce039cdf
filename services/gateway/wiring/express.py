"""The express lane: the hottest requests, answered beside the application."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from services.gateway.express.admission import Admission
from services.gateway.express.holding import Holding
from services.gateway.express.lane import Express
from services.gateway.express.posts import Posts
from services.gateway.express.reads import Reads
from services.gateway.settings import Settings
from services.gateway.wiring.accepting import Accepting
from services.gateway.wiring.reading import Reading
from services.gateway.wiring.statistics import StatisticsParts


@asynccontextmanager
async def express_lane(
    settings: Settings,
    admission: Admission,
    reading: Reading,
    accepting: Accepting,
    statistics: StatisticsParts,
) -> AsyncIterator[Express]:
    """Ends when everyone who was taken is answered."""
    edge, statuses = admission.edge, reading.statuses
    holding = Holding(waiting=reading.waiting, progress=reading.progress, edge=edge)
    posts = Posts(
        admission=admission,
        posting=accepting.posting,
        statuses=statuses,
        holding=holding,
        edge=edge,
        max_body_bytes=settings.max_body_bytes,
    )
    async with aclosing(holding), aclosing(posts):
        reads = Reads(
            admission=admission, statuses=statuses, holding=holding, edge=edge, run_times=statistics.run_times
        )
        yield Express(reads, posts)
