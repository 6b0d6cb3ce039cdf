"""What is asked for when a key is made or rotated: the bodies, read into values. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.gateway.http.fields import BeyondError, Fields, MalformedError, text, time, whole
from shared.models.key import (
    MAX_BURST,
    MAX_KEY_NAME,
    MAX_OVERLAP_SECONDS,
    MAX_REQUESTS_PER_SECOND,
    OVERLAP_SECONDS,
    SCOPES,
    TENANT,
)

MAX_YEARS = 100
"""Of a key's life; documents hold no time far beyond."""
YEAR_MS = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A key that is asked for."""

    scopes: frozenset[str]
    tenant: str | None = None
    """None: that of who asks."""
    name: str = ""
    requests_per_second: int | None = None
    burst: int | None = None
    expires_at: int | None = None


def parse_key(body: Any, *, now: int) -> KeyRequest:
    """Raises Problem: 400 for what is malformed or unknown, 422 for what is beyond a limit, every fault at once."""
    fields = Fields(body, of="a key")
    asked = KeyRequest(
        scopes=fields.required("scopes", _scopes) or frozenset(),
        tenant=fields.optional("tenant", _tenant),
        name=fields.optional("name", text(least=0, most=MAX_KEY_NAME)) or "",
        requests_per_second=fields.optional("requests_per_second", whole(least=1, most=MAX_REQUESTS_PER_SECOND)),
        burst=fields.optional("burst", whole(least=1, most=MAX_BURST)),
        expires_at=fields.optional("expires_at", _in_the_future(now)),
    )
    fields.finish()
    return asked


def parse_rotation(body: Any) -> int:
    """For how many seconds the old secret stays good. Raises Problem as `parse_key`."""
    fields = Fields(body, of="a rotation")
    overlap = fields.optional("overlap_seconds", whole(least=0, most=MAX_OVERLAP_SECONDS))
    fields.finish()
    return OVERLAP_SECONDS if overlap is None else int(overlap)


def _scopes(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise MalformedError("must be an array of one scope or more")
    unknown = sorted(set(value) - SCOPES)
    if unknown or len(set(value)) < len(value):
        raise MalformedError(f"must be some of {', '.join(sorted(SCOPES))}, each once")
    return frozenset(value)


def _tenant(value: Any) -> str:
    if not isinstance(value, str) or not TENANT.fullmatch(value):
        raise MalformedError("must be lower-case letters, digits and hyphens, at most 63")
    return value


def _in_the_future(now: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        at = time(value)
        if not now < at <= now + MAX_YEARS * YEAR_MS:
            raise BeyondError(f"must be in the future, within {MAX_YEARS} years")
        return at

    return read
