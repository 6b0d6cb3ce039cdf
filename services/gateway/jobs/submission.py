"""What a client asks for when it posts a job: the body of `POST /v1/jobs`, read into a value. Pure."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from services.gateway.http.fields import Fields, MalformedError, number, text, time, whole
from services.gateway.http.labels import read_labels
from services.gateway.webhooks.requests import read_job_webhook
from shared.clock import MILLISECONDS
from shared.models.webhook import JobWebhook
from shared.values import value

MAX_DELAY_SECONDS = 30 * 86_400
MAX_EXPIRES_IN_SECONDS = 6 * 86_400
"""The broker keeps a message for 7 days."""
MAX_TIMEOUT_SECONDS = 3_600
MAX_ATTEMPTS = 100
_HANDLER, _ATTEMPTS = text(), whole(least=1, most=MAX_ATTEMPTS)
_TIMEOUT = number(above=0, most=MAX_TIMEOUT_SECONDS)
_EXPIRES_IN, _DELAY = whole(least=1, most=MAX_EXPIRES_IN_SECONDS), number(least=0, most=MAX_DELAY_SECONDS)


class Caching(StrEnum):
    """What a request wants of results that equal requests share."""

    USE = "use"
    REFRESH = "refresh"
    """Run, and replace what is there."""
    OFF = "off"


@value(frozen=True, slots=True)
class Submission:
    """None: not said, so the handler's or the system's default holds."""

    handler: str
    input: Any
    run_at: int | None = None
    """Milliseconds since the epoch."""
    timeout_seconds: float | None = None
    max_attempts: int | None = None
    expires_in_seconds: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    cache: Caching = Caching.USE
    webhook: JobWebhook | None = None

    @property
    def shareable(self) -> bool:
        """Whether it asks for the work and nothing else: only such requests can share a job."""
        return self.cache is not Caching.OFF and self == Submission(self.handler, self.input, cache=self.cache)


def parse_submission(body: Any, *, now: int) -> Submission:
    """Raises Problem: 400 for what is malformed or unknown, 422 for what is beyond a limit, every fault at once."""
    fields = Fields(body, of="a job")
    handler = fields.required("handler", _HANDLER)
    submission = Submission(
        handler=handler or "",
        input=fields.required("input", lambda value: value),
        run_at=_run_at(fields, now),
        timeout_seconds=fields.optional("timeout_seconds", _TIMEOUT),
        max_attempts=fields.optional("max_attempts", _ATTEMPTS),
        expires_in_seconds=fields.optional("expires_in_seconds", _EXPIRES_IN),
        labels=fields.optional("labels", read_labels) or {},
        cache=fields.optional("cache", _caching) or Caching.USE,
        webhook=fields.optional("webhook", read_job_webhook),
    )
    fields.finish()
    return submission


def _run_at(fields: Fields, now: int) -> int | None:
    at: int | None = fields.optional("run_at", time)
    delay: float | None = fields.optional("delay_seconds", _DELAY)
    if at is not None and delay is not None:
        fields.malformed("delay_seconds", "cannot stand beside run_at")
    if delay:
        return now + round(delay * MILLISECONDS)
    if at is None or at <= now:
        return None
    if at > now + MAX_DELAY_SECONDS * MILLISECONDS:
        fields.beyond("run_at", f"must be within {MAX_DELAY_SECONDS} seconds from now")
    return at


def _caching(value: Any) -> Caching:
    try:
        return Caching(value)
    except ValueError:
        raise MalformedError("must be use, refresh or off") from None
