"""Who is told: webhook endpoints, a tenant's own secret, and the one-off webhook of a job. Frozen, no I/O.

Written by the gateway (and by the webhooks service where it disables an endpoint), read by both. Secrets and the values
of custom headers are here only as they are sealed (`shared/sealing.py`).
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

from shared.clock import MILLISECONDS, rfc3339

JOB_STARTED: Final = "job.started"
JOB_ENDS: Final = frozenset({"job.succeeded", "job.failed", "job.canceled", "job.expired"})
BATCH_TYPES: Final = frozenset({"batch.completed", "batch.canceled", "batch.expired"})
DISABLED, EXHAUSTED, TEST = "webhook.disabled", "webhook.exhausted", "webhook.test"
RECOVER: Final = "webhook.recover"
"""Not delivered: asks the webhooks service to deliver again what one endpoint has missed."""
OPERATOR_TYPES: Final = frozenset({DISABLED, EXHAUSTED})
EVENT_TYPES: Final = JOB_ENDS | {JOB_STARTED} | BATCH_TYPES | OPERATOR_TYPES
"""What can be asked for. `webhook.test` comes only to the endpoint that is tested."""
DEFAULT_TYPES: Final = JOB_ENDS | BATCH_TYPES

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix of all of them
SECRET_BYTES: Final = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
OVERLAP_SECONDS: Final = 86_400
MAX_OVERLAP_SECONDS: Final = 7 * 86_400
MAX_SECRETS: Final = 4
"""Good at a time: the current one and those whose overlap is not over."""
MAX_ENDPOINTS: Final = 100
"""Of a tenant, unless the gateway's settings say otherwise."""
LIFETIME_MS: Final = 40 * 86_400_000
"""In the ids of endpoints; nothing ends with it."""


class EndpointStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


class DisabledBy(StrEnum):
    """Why an endpoint is disabled."""

    OWNER = "owner"
    GONE = "gone"
    """It answered 410."""
    FAILING = "failing"
    """No success for days."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    sealed: bytes
    until: int | None = None
    """Good until then (milliseconds since the epoch); None: the current one."""


def rotated(
    secrets: tuple[SealedSecret, ...], fresh: bytes, *, at: int, overlap_seconds: int
) -> tuple[SealedSecret, ...]:
    """`fresh` in front of those that stay good for a while. None outlives what it was granted before."""
    until = at + overlap_seconds * MILLISECONDS
    kept = (replace(each, until=until if each.until is None else min(each.until, until)) for each in secrets)
    return (SealedSecret(fresh), *good(kept, at))[:MAX_SECRETS]


def good(secrets: Any, now: int) -> tuple[SealedSecret, ...]:
    """Those that sign at `now`."""
    return tuple(each for each in secrets if each.until is None or now < each.until)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registered address and what it wants to hear. Times are milliseconds since the epoch."""

    id: str
    tenant: str
    url: str
    events: frozenset[str]
    secrets: tuple[SealedSecret, ...]
    created_at: int
    updated_at: int
    labels: Mapping[str, str] = field(default_factory=dict)
    """Only events of jobs that have all of these."""
    headers: frozenset[str] = frozenset()
    """Names of its custom headers."""
    sealed_headers: bytes | None = None
    """JSON object of their values, sealed."""
    description: str = ""
    status: EndpointStatus = EndpointStatus.ENABLED
    disabled_by: DisabledBy | None = None
    disabled_at: int | None = None

    @property
    def enabled(self) -> bool:
        return self.status is EndpointStatus.ENABLED

    def wants(self, type: str, labels: Mapping[str, str]) -> bool:
        return type in self.events and all(labels.get(key) == value for key, value in self.labels.items())

    def disabled(self, by: DisabledBy, *, at: int) -> Self:
        if not self.enabled:
            return self
        return replace(self, status=EndpointStatus.DISABLED, disabled_by=by, disabled_at=at, updated_at=at)

    def enabled_again(self, *, at: int) -> Self:
        if self.enabled:
            return self
        return replace(self, status=EndpointStatus.ENABLED, disabled_by=None, disabled_at=None, updated_at=at)

    def with_secret(self, fresh: bytes, *, at: int, overlap_seconds: int) -> Self:
        secrets = rotated(self.secrets, fresh, at=at, overlap_seconds=overlap_seconds)
        return replace(self, secrets=secrets, updated_at=at)


@dataclass(frozen=True, slots=True)
class TenantHooks:
    """What webhooks know of a tenant as a whole. Its document changes whenever an endpoint of the tenant's does."""

    tenant: str
    secrets: tuple[SealedSecret, ...] = ()
    """Sign the one-off webhooks of jobs; none: there can be no such webhook."""
    secret_created_at: int | None = None

    def with_secret(self, fresh: bytes, *, at: int, overlap_seconds: int) -> Self:
        secrets = rotated(self.secrets, fresh, at=at, overlap_seconds=overlap_seconds)
        return replace(self, secrets=secrets, secret_created_at=at)


@dataclass(frozen=True, slots=True)
class JobWebhook:
    """The one-off webhook of a job."""

    url: str
    events: frozenset[str]

    def members(self) -> dict[str, Any]:
        return {"url": self.url, "events": sorted(self.events)}

    @classmethod
    def of(cls, members: Mapping[str, Any] | None) -> "JobWebhook | None":
        return None if members is None else cls(members["url"], frozenset(members["events"]))


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint has been doing, as far as it must outlive the process that calls it."""

    endpoint: str
    succeeded_at: int | None = None
    failing_since: int | None = None
    """The first failure since the last success."""
    failures: int = 0
    """Since the last success."""
    failed_at: int | None = None

    def after_success(self, *, at: int) -> Self:
        return replace(self, succeeded_at=at, failing_since=None, failures=0, failed_at=None)

    def after_failure(self, *, at: int) -> Self:
        since = at if self.failing_since is None else self.failing_since
        return replace(self, failing_since=since, failures=self.failures + 1, failed_at=at)


def endpoint_place(id: str) -> str:
    """What an endpoint's secrets and headers are sealed for."""
    return f"webhook\0{id}"


def tenant_place(tenant: str) -> str:
    return f"tenant\0{tenant}"


def draw_secret(entropy: Callable[[int], bytes]) -> str:
    """A new secret, as Standard Webhooks spells it."""
    return SECRET_PREFIX + base64.b64encode(entropy(SECRET_BYTES)).decode()


def secret_bytes(text: str) -> bytes:
    """The key in a `whsec_…` secret. ValueError (without it) for anything else."""
    try:
        raw = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("the secret is not base64") from None
    if not text.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(raw) <= MAX_SECRET_BYTES:
        raise ValueError(f"the secret is not {SECRET_PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return raw


def message_id(event: str) -> str:
    """The `webhook-id` of an event: the same for every retry, endpoint and replay."""
    return "msg_" + base64.b32encode(hashlib.sha256(event.encode()).digest()[:20]).decode().lower()


def shown_endpoint(endpoint: Endpoint, *, now: int, secret: str | None = None) -> dict[str, Any]:
    """The endpoint as the API shows it. secret: only in the answer that makes it."""
    previous = [each.until for each in good(endpoint.secrets, now) if each.until is not None]
    found = {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": sorted(endpoint.events),
        "labels": dict(endpoint.labels),
        "headers": sorted(endpoint.headers),
        "description": endpoint.description,
        "status": endpoint.status,
        "disabled_by": endpoint.disabled_by,
        "disabled_at": optional_time(endpoint.disabled_at),
        "created_at": rfc3339(endpoint.created_at),
        "updated_at": rfc3339(endpoint.updated_at),
        "previous_secret_until": optional_time(max(previous, default=None)),
    }
    return found if secret is None else {**found, "secret": secret}


def optional_time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
