"""What is asked of dead letters: filters of lists, and the bodies of replays, read into values. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.gateway.http.fields import Fields, flag, matching, text, time, whole
from services.gateway.http.problems import INVALID_REQUEST, Fault, Problem
from shared.models.fingerprint import FINGERPRINT
from shared.storage.dead_letters import DeadLetterFilter, DeadPlace

FILTERS: Final = frozenset({"handler", "fingerprint", "failed_after", "failed_before"})
RATE_PER_SECOND: Final = 50
"""Replays a second, unless it is said."""
MAX_RATE_PER_SECOND: Final = 1_000
AT_ONCE: Final = 500
"""Dead letters that one request replays, unless it is said."""
MAX_AT_ONCE: Final = 1_000
MAX_CURSOR: Final = 500

_JOB_ID: Final = re.compile(r"job_[0-9a-z]{40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Which dead letters are to be replayed, and how. Either `id` or `wanted` is set."""

    id: str | None
    wanted: Mapping[str, Any] | None
    """The filter's fields, but for the tenant."""
    tenant: str | None
    dry_run: bool
    rate_per_second: int
    limit: int
    cursor: str | None


def parse_replay(body: Any) -> ReplayRequest:
    """Raises Problem: 400 for what is malformed or unknown, 422 for what is beyond a limit."""
    fields = Fields(body, of="a replay of dead letters")
    id = fields.optional("id", matching(_JOB_ID, "a job's id"))
    wanted = fields.optional("filter", lambda value: value)
    asked = ReplayRequest(
        id=id,
        wanted=None,
        tenant=None,
        dry_run=bool(fields.optional("dry_run", flag)),
        rate_per_second=fields.optional("rate_per_second", whole(least=1, most=MAX_RATE_PER_SECOND)) or RATE_PER_SECOND,
        limit=fields.optional("limit", whole(least=1, most=MAX_AT_ONCE)) or AT_ONCE,
        cursor=fields.optional("cursor", text(most=MAX_CURSOR)),
    )
    fields.finish()
    if (id is None) == (wanted is None):
        raise Problem(
            INVALID_REQUEST,
            "The request is malformed.",
            errors=[Fault("", "needs one of id and filter; an empty filter stands for every dead letter")],
        )
    if wanted is None:
        return asked
    tenant, filter = _filter(wanted)
    return ReplayRequest(None, filter, tenant, asked.dry_run, asked.rate_per_second, asked.limit, asked.cursor)


def wanted_letters(query: Mapping[str, str], tenant: str | None) -> DeadLetterFilter:
    """The filter that a query asks for. Raises Problem as `parse_replay`."""
    fields = Fields(dict(query), of="this query")
    wanted = DeadLetterFilter(tenant, **_read(fields))
    fields.finish()
    return wanted


def _filter(value: Any) -> tuple[str | None, Mapping[str, Any]]:
    fields = Fields(value, of="a filter", at="/filter")
    tenant, filter = fields.optional("tenant", text(most=63)), _read(fields)
    fields.finish()
    return tenant, filter


def _read(fields: Fields) -> dict[str, Any]:
    return {
        "handler": fields.optional("handler", text()),
        "fingerprint": fields.optional("fingerprint", matching(FINGERPRINT, "16 lower-case hexadecimal digits")),
        "failed_after": fields.optional("failed_after", time),
        "failed_before": fields.optional("failed_before", time),
    }


def spelled(place: DeadPlace) -> str:
    """As `place_of` reads it, and cursors hold it."""
    return f"{place.failed_at}:{place.id}"


def place_of(spelling: str) -> DeadPlace | None:
    failed_at, _, id = spelling.partition(":")
    return DeadPlace(int(failed_at), id) if spelling else None
