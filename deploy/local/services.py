"""The services that make up Sluice, one line each. A new service is a new line here and nothing else in this package.

The order is the way of a job, and the order in which they are stopped: who takes work first, then who does it.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """name: of the service; its processes are `name-1`, `name-2`, …
    module: what `python -m` runs.
    needs: services that must answer before this one is started.
    processes: how many, unless told otherwise.
    """

    name: str
    module: str
    needs: tuple[str, ...] = ()
    processes: int = 1


SERVICES: Final = (
    # The worker announces its handlers when it starts: a gateway that starts later knows them from the first request.
    ServiceSpec("gateway", "services.gateway", needs=("worker",)),
    ServiceSpec("scheduler", "services.scheduler"),
    ServiceSpec("webhooks", "services.webhooks"),
    ServiceSpec("worker", "services.worker"),
    ServiceSpec("aggregator", "services.aggregator"),
)
PUSHING: Final = (*SERVICES, ServiceSpec("bridge", "deploy.local.bridge", needs=("worker",)))
"""The same with what pushes to the workers, which outlives them, so that it hears what they turn away."""
