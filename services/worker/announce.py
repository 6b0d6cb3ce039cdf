"""Announces this worker's handlers: gateways check inputs and publish schemas of functions they never import."""

import logging
from collections.abc import Callable, Sequence

from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.models.handler import HandlerEntry
from shared.storage.contract import Catalogue

RETRY_SECONDS = 2.0

_log = logging.getLogger("sluice.worker")


async def announce(
    entries: Sequence[HandlerEntry], catalogue: Catalogue, clock: Clock, chance: Callable[[], float]
) -> None:
    """Write the entries, however long the store takes to answer; nothing else can be done with the worker before."""
    while True:
        try:
            await catalogue.announce(entries)
        except (Unavailable, Overloaded) as fault:
            _log.warning("the handlers are not announced yet", extra={"fault": type(fault).__name__})
            await clock.sleep(RETRY_SECONDS * (0.5 + chance()))
        else:
            _log.info("announced", extra={"handlers": [entry.name for entry in entries]})
            return
