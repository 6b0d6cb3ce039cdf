"""What a gateway has been asked for, told now and then as one event: submitted jobs and answers from the cache.

Written by gateways every ten seconds or so, read by the aggregator, which adds it to its statistics. Best effort: what
a gateway has counted and not told yet is lost with it. Handled twice it counts twice, as statistics may.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from shared.models.event import Event

USAGE: Final = "gateway.usage"
EVERY_TENANT: Final = "*"
"""Such an event is about many tenants; no tenant has this name."""

Counts = Mapping[str, int]
"""By name, as in `statistics.Tally`: submitted, cache_hits."""


def usage_event(id: str, counted: Mapping[tuple[str, str], Counts], *, at: int) -> Event:
    """counted: by tenant and handler. id: of no other event."""
    rows = [[tenant, handler, dict(counts)] for (tenant, handler), counts in counted.items()]
    return Event(f"{id}:{USAGE}", USAGE, "/sluice/gateway", at, EVERY_TENANT, None, {"counted": rows})


def rows_of(event: Event) -> Sequence[tuple[str, str, Counts]]:
    """Tenant, handler and counts, as `usage_event` was given them."""
    return [(tenant, handler, counts) for tenant, handler, counts in event.data["counted"]]
