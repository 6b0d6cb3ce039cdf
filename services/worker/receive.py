"""Setting a worker up for push: what must be set, which handlers fit, the lanes it serves. Called by `app`."""

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from services.worker.consume import capacities
from services.worker.execution.task import Catalogue, RunIn
from services.worker.jwks import KeySet
from services.worker.oidc import Expected, Verifier
from services.worker.push import Receiving
from services.worker.push_lanes import pushed_queue
from services.worker.settings import Settings
from shared.clock import Clock
from shared.errors import ConfigError
from shared.messaging.contract import Handle
from shared.messaging.push import REQUEST_SECONDS
from shared.messaging.topics import Names
from shared.telemetry.metrics import Metrics

MARGIN_SECONDS: Final = 30
"""Of a request, for what is around an attempt at least: waiting for a slot, the claim, the finish, the telling."""


def receiving(
    settings: Settings,
    catalogue: Catalogue,
    slots: Mapping[RunIn, int],
    keys: KeySet,
    handle: Handle,
    *,
    clock: Clock,
    draw: Callable[[], float],
    metrics: Metrics,
) -> Receiving:
    """An endpoint for each lane that this worker serves. Raises ConfigError where something does not fit push."""
    served = {
        queue: capacity
        for queue, capacity in capacities(catalogue, slots).items()
        if not settings.queues or queue in settings.queues
    }
    faults = [*_unset(settings), *_too_long(settings, catalogue, served)]
    if faults:
        raise ConfigError("; ".join(faults))
    names = Names(settings.prefix)
    queues = {queue: pushed_queue(names, queue, capacity) for queue, capacity in served.items()}
    expected = Expected(settings.push_audience, settings.push_issuers, settings.push_emails)
    return Receiving(
        queues,
        Verifier(expected, keys, clock),
        handle,
        address=(settings.push_host, settings.push_port),
        beside=keys.run,
        clock=clock,
        draw=draw,
        metrics=metrics,
    )


def _unset(settings: Settings) -> Iterator[str]:
    if not settings.push_audience:
        yield "SLUICE_PUSH_AUDIENCE is not set: tokens for anybody else would be taken"
    if not settings.push_emails:
        yield "SLUICE_PUSH_EMAILS is not set: anybody's tokens would be taken"
    if not settings.push_issuers:
        yield "SLUICE_PUSH_ISSUERS is empty: no token would be taken"
    if not _private(settings.push_keys_url):
        yield "SLUICE_PUSH_KEYS_URL must be https: whoever changed the keys on the way could sign anything"
    if not 0 < settings.push_job_seconds <= REQUEST_SECONDS - MARGIN_SECONDS:
        yield f"SLUICE_PUSH_JOB_SECONDS is not within 0 and {REQUEST_SECONDS - MARGIN_SECONDS}: a push ends at 600 s"


def _private(url: str) -> bool:
    """Whether nobody on the way can change what is fetched."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and _loopback(parts.hostname or ""))
    )


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _too_long(settings: Settings, catalogue: Catalogue, served: Mapping[str, int]) -> Iterator[str]:
    for name, loaded in sorted(catalogue.items()):
        seconds = loaded.entry.timeout_seconds
        if loaded.entry.queue in served and seconds > settings.push_job_seconds:
            yield (
                f"an attempt of {name} may take {seconds:g} s, and one that is pushed {settings.push_job_seconds:g} s:"
                " shorten its timeout, or put it on a queue of workers that pull"
            )
