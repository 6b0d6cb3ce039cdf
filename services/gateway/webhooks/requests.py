"""What is asked for when a webhook is made, changed or used: the bodies, read into values. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.gateway.http.fields import BeyondError, Fields, MalformedError, text, time, whole
from services.gateway.http.labels import read_labels
from shared.models.webhook import (
    BATCH_TYPES,
    DEFAULT_TYPES,
    EVENT_TYPES,
    JOB_ENDS,
    JOB_STARTED,
    MAX_OVERLAP_SECONDS,
    OVERLAP_SECONDS,
    JobWebhook,
)

MAX_URL: Final = 2_048
MAX_DESCRIPTION: Final = 256
MAX_HEADERS: Final = 10
MAX_HEADER_VALUE: Final = 1_024
RECOVER_MS: Final = 30 * 86_400_000
"""For so long deliveries are kept."""

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_OURS: Final = frozenset(
    {
        "host",
        "user-agent",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "cookie",
        "accept-encoding",
    }
)
_OUR_PREFIXES: Final = ("content-", "webhook-", "proxy-", "sec-")
_JOB_TYPES: Final = JOB_ENDS | {JOB_STARTED}


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """None, where a change is asked for: leave it as it is."""

    url: str | None
    events: frozenset[str] | None
    labels: Mapping[str, str] | None
    headers: Mapping[str, str] | None = field(repr=False)
    description: str | None = None


def parse_endpoint(body: Any) -> EndpointRequest:
    """Raises Problem: 400 for what is malformed or unknown, 422 for what is beyond a limit, every fault at once."""
    fields = Fields(body, of="a webhook")
    url = fields.required("url", text(most=MAX_URL))
    asked = _read(fields, url)
    return EndpointRequest(
        asked.url,
        DEFAULT_TYPES if asked.events is None else asked.events,
        asked.labels or {},
        asked.headers or {},
        asked.description or "",
    )


def parse_change(body: Any) -> EndpointRequest:
    """Raises as `parse_endpoint`."""
    fields = Fields(body, of="a change of a webhook")
    return _read(fields, fields.optional("url", text(most=MAX_URL)))


def _read(fields: Fields, url: str | None) -> EndpointRequest:
    asked = EndpointRequest(
        url=url,
        events=fields.optional("events", _types(EVENT_TYPES)),
        labels=fields.optional("labels", read_labels),
        headers=fields.optional("headers", _headers),
        description=fields.optional("description", text(least=0, most=MAX_DESCRIPTION)),
    )
    fields.finish()
    return asked


def parse_overlap(body: Any) -> int:
    """For how many seconds the old secret goes on signing. Raises as `parse_endpoint`."""
    fields = Fields(body, of="a rotation")
    overlap = fields.optional("overlap_seconds", whole(least=0, most=MAX_OVERLAP_SECONDS))
    fields.finish()
    return OVERLAP_SECONDS if overlap is None else int(overlap)


def parse_recovery(body: Any, *, now: int) -> int:
    """Since when (milliseconds since the epoch). Raises as `parse_endpoint`."""
    fields = Fields(body, of="a recovery")
    since = fields.required("since", _recent(now))
    fields.finish()
    return int(since)


def read_job_webhook(value: Any) -> JobWebhook:
    """The `webhook` of a job. Raises MalformedError, BeyondError."""
    return _one_off(value, JOB_ENDS, _JOB_TYPES)


def read_batch_webhook(value: Any) -> JobWebhook:
    """The `webhook` of a batch. Raises MalformedError, BeyondError."""
    return _one_off(value, BATCH_TYPES, BATCH_TYPES)


def _one_off(value: Any, default: frozenset[str], known: frozenset[str]) -> JobWebhook:
    if not isinstance(value, dict) or not value.keys() <= {"url", "events"} or "url" not in value:
        raise MalformedError("must be an object of url and events")
    url = text(most=MAX_URL)(value["url"])
    events = value.get("events")
    return JobWebhook(url, default if events is None else _types(known)(events))


def _types(known: frozenset[str]) -> Callable[[Any], frozenset[str]]:
    def read(value: Any) -> frozenset[str]:
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            raise MalformedError("must be an array of one event type or more")
        if not known.issuperset(value) or len(set(value)) < len(value):
            raise MalformedError(f"must be some of {', '.join(sorted(known))}, each once")
        return frozenset(value)

    return read


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise MalformedError("must be an object of strings")
    if len(value) > MAX_HEADERS:
        raise BeyondError(f"at most {MAX_HEADERS} headers")
    found = {name.lower(): _header_value(name, each) for name, each in value.items()}
    if len(found) < len(value):
        raise MalformedError("must have each header once")
    return found


def _header_value(name: str, value: Any) -> str:
    lower = name.lower()
    if not _HEADER_NAME.fullmatch(name) or lower in _OURS or lower.startswith(_OUR_PREFIXES):
        raise MalformedError("must not have headers that are ours to set, or that are none")
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        raise MalformedError("must have values of printable ASCII")
    if len(value) > MAX_HEADER_VALUE:
        raise BeyondError(f"values of at most {MAX_HEADER_VALUE} characters")
    return value


def _recent(now: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        at = time(value)
        if not now - RECOVER_MS <= at <= now:
            raise BeyondError("must be within the last 30 days")
        return at

    return read
