"""`sluice-admin queues …`: list, pause, resume."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import click

from deploy.admin import backends
from deploy.admin.output import output as output_option
from deploy.admin.output import print_one, print_rows
from deploy.admin.queue_board import QueueBoard, shown_control
from deploy.admin.settings import Settings
from shared.cache.redis.lanes import RedisLanes
from shared.clock import SystemClock
from shared.messaging.topics import Names
from shared.storage.firestore import FirestoreCatalogue, FirestoreQueueControls

T = TypeVar("T")

_COLUMNS: Final = (
    "name",
    "lane",
    "paused",
    "backlog",
    "oldest_age_seconds",
    "in_flight",
    "rate_in_per_second",
    "rate_out_per_second",
    "workers",
)


@click.group("queues")
def queues() -> None:
    """What waits in each queue, and whether workers take from it."""


@queues.command("list")
@output_option
@click.pass_obj
def list_queues(settings: Settings, output: str) -> None:
    """List each lane of each queue. `-` is what nobody knows, such as a backlog after Redis was lost."""
    print_rows(_run(settings, lambda board: board.all()), _COLUMNS, output)


@queues.command("pause")
@click.argument("name")
@output_option
@click.pass_obj
def pause(settings: Settings, name: str, output: str) -> None:
    """Have workers take nothing more from a queue, within seconds. What they have taken goes on. Harmless twice."""
    print_one(shown_control(_run(settings, lambda board: board.pause(name))), output)


@queues.command("resume")
@click.argument("name")
@output_option
@click.pass_obj
def resume(settings: Settings, name: str, output: str) -> None:
    """Have workers take from a queue again. Harmless twice."""
    print_one(shown_control(_run(settings, lambda board: board.resume(name))), output)


def _run(settings: Settings, act: Callable[[QueueBoard], Awaitable[T]]) -> T:
    async def run() -> T:
        async with backends.database(settings) as database, backends.cache(settings) as cache:
            catalogue, controls = FirestoreCatalogue(database), FirestoreQueueControls(database)
            names = Names(settings.prefix)
            return await act(QueueBoard(catalogue, controls, RedisLanes(cache), names, SystemClock()))

    return backends.run(run())
