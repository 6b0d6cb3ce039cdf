"""The request headers that change an answer: `Prefer`, `If-None-Match`, `Idempotency-Key`. Pure."""

import re
from collections.abc import Sequence

from services.gateway.http.problems import INVALID_REQUEST, Problem
from shared.models.job import is_running

MAX_WAIT_SECONDS = 60
_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE | re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def wait_seconds(prefer: Sequence[str]) -> int | None:
    """How long the client is willing to wait (RFC 7240), clamped to 1…60; None without that preference.

    A preference that cannot be read is ignored, as the RFC asks.
    """
    match = _WAIT.search(",".join(prefer))
    return match and max(1, min(MAX_WAIT_SECONDS, int(match[1])))


def idempotency_key(values: Sequence[str]) -> str | None:
    """The key that the client gave its request, or None. Raises Problem 400 for a malformed one, or several."""
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise Problem(INVALID_REQUEST, "An Idempotency-Key is one, of 1 to 255 visible ASCII characters.")
    return values[0]


def entity_tag(order: int) -> str:
    """The ETag of a job at one state. Weak while it runs: its progress changes, which is not a change of state."""
    return f'W/"{order:x}"' if is_running(order) else f'"{order:x}"'


def known_order(if_none_match: str | None) -> int | None:
    """The newest state that the client says it has, or None if it names none of ours."""
    if if_none_match is None:
        return None
    orders = [order for tag in _TAG.findall(if_none_match) if (order := _order(tag)) is not None]
    return max(orders, default=None)


def _order(tag: str) -> int | None:
    return int(tag, 16) if re.fullmatch(r"[0-9a-f]{1,12}", tag, re.ASCII) else None
