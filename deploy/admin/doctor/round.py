"""The whole examination, in the order in which one thing rests on another. Called by `sluice-admin doctor`.

What cannot be reached is one finding, and what rests on it is not looked at.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from deploy.admin import backends
from deploy.admin.doctor import broker, cache, store
from deploy.admin.doctor import settings as setting
from deploy.admin.doctor.finding import Finding, State, fault, skipped
from deploy.admin.doctor.flow import Flow
from deploy.admin.queue_board import QueueBoard
from deploy.admin.queues import queues_of
from deploy.admin.settings import Settings
from deploy.admin.topology import without_backoff
from shared.cache.redis.lanes import RedisLanes
from shared.clock import Clock
from shared.errors import ConfigError, Overloaded, SluiceError, Unavailable
from shared.messaging.topics import Names, topology
from shared.storage.firestore import (
    FirestoreCatalogue,
    FirestoreDatabase,
    FirestoreDeliveries,
    FirestoreKeys,
    FirestoreQueueControls,
    FirestoreTimers,
)

Examination = Callable[[Settings, Clock], Awaitable[Sequence[Finding]]]


async def _settings(settings: Settings, _clock: Clock) -> Sequence[Finding]:
    return list(setting.examine(settings))


async def _broker(settings: Settings, _clock: Clock) -> Sequence[Finding]:
    queues = _queues(settings)
    if not queues:
        return [skipped(broker.ABOUT, "neither SLUICE_HANDLERS nor SLUICE_QUEUES says what must exist")]
    wanted = topology(Names(settings.prefix), queues)
    return await broker.examine(settings, without_backoff(wanted) if settings.pubsub_emulator else wanted)


async def _store(settings: Settings, clock: Clock) -> Sequence[Finding]:
    async with backends.database(settings) as database:
        return await store.examine(settings, database, clock)


async def _cache(settings: Settings, _clock: Clock) -> Sequence[Finding]:
    async with backends.cache(settings) as connection:
        return await cache.examine(connection)


async def _flow(settings: Settings, clock: Clock) -> Sequence[Finding]:
    async with backends.database(settings) as database, backends.cache(settings) as connection:
        board = QueueBoard(
            FirestoreCatalogue(database),
            FirestoreQueueControls(database),
            RedisLanes(connection),
            Names(settings.prefix),
            clock,
        )
        return await _flow_of(settings, database, board, clock).examine(await board.all())


def _flow_of(settings: Settings, database: FirestoreDatabase, board: QueueBoard, clock: Clock) -> Flow:
    return Flow(
        catalogue=board.catalogue,
        keys=FirestoreKeys(database),
        timers=FirestoreTimers(database),
        deliveries=FirestoreDeliveries(database),
        queues=frozenset(_queues(settings)),
        clock=clock,
    )


def _queues(settings: Settings) -> set[str]:
    """None where the handlers cannot be imported, which is a finding of the settings'."""
    try:
        return set(settings.queues) or queues_of(settings.handlers)
    except ConfigError:
        return set()


EXAMINATIONS: Final[dict[str, Examination]] = {
    "settings": _settings,
    "Pub/Sub": _broker,
    "Firestore": _store,
    "Redis": _cache,
    "what goes on": _flow,
}


async def examine(name: str, settings: Settings, clock: Clock, so_far: Sequence[Finding]) -> Sequence[Finding]:
    """One examination. Whatever it meets is a finding; nothing is raised."""
    if name == "what goes on" and any(each.about == store.ABOUT and each.state is State.FAULT for each in so_far):
        return [skipped(name, "Firestore does not answer")]
    try:
        return await EXAMINATIONS[name](settings, clock)
    except ConfigError as error:
        known = any(str(error) == each.detail for each in so_far)
        return (
            [skipped(name, "the settings do not allow it")] if known else [fault(name, str(error), "mend the setting")]
        )
    except (Unavailable, Overloaded) as error:
        return [fault(name, f"{type(error).__name__}: {error}", "ask again; look at its state")]
    except SluiceError as error:
        return [fault(name, f"{type(error).__name__}: {error}", "this should not be: report it")]
