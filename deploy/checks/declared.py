"""The topology of the example handlers, as the checks need it."""

from functools import cache
from typing import Any

from deploy.admin.declaration import declaration
from deploy.admin.queues import queues_of
from deploy.local.settings import EXAMPLE_HANDLERS
from shared.messaging.topics import Names


@cache
def example() -> dict[str, Any]:
    """See `declaration`."""
    return declaration(Names(), queues_of(EXAMPLE_HANDLERS))


def readers() -> set[str]:
    """The services that some subscription is for."""
    return {subscription["reader"] for subscription in example()["subscriptions"]}
