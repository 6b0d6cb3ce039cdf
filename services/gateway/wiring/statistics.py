"""The part of the composition root that counts what is asked for, and reads what aggregators have counted."""

import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from services.gateway.settings import Settings
from services.gateway.statistics.routes import StatisticsRoutes
from services.gateway.statistics.run_times import RunTimes
from services.gateway.statistics.usage import Usage
from shared.clock import Clock
from shared.lifecycle import running
from shared.messaging.contract import Publisher
from shared.messaging.topics import Names
from shared.storage.firestore import FirestoreDatabase, FirestoreStatistics


@dataclass(frozen=True, slots=True)
class StatisticsParts:
    usage: Usage
    run_times: RunTimes
    routes: StatisticsRoutes


@asynccontextmanager
async def statistics_parts(
    settings: Settings, database: FirestoreDatabase, publisher: Publisher, clock: Clock
) -> AsyncIterator[StatisticsParts]:
    """Ends when what was counted is told."""
    store = FirestoreStatistics(database)
    usage = Usage(publisher, Names(settings.prefix).events, clock)
    run_times = RunTimes(store, clock, random.random)
    async with aclosing(usage), running(usage.run(), run_times.follow(settings.run_times_seconds)):
        yield StatisticsParts(usage, run_times, StatisticsRoutes(store, clock))
