"""JSON in one spelling, so that equal requests are equal bytes: sorted keys, no spaces. Pure.

Called by `submit` (what equal work is) and `idempotency` (whether two requests are one). Numbers keep the kind that
they were written in: `1` and `1.0` are different inputs, as they may be to a handler.
"""

import hashlib
from typing import Any

import orjson

from services.gateway.http.problems import INVALID_REQUEST, Problem


def canonical(value: Any) -> bytes:
    """`value`, which was JSON, in its one spelling. Raises Problem 400 for what JSON cannot carry on."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        raise Problem(INVALID_REQUEST, "The request holds a value that JSON cannot carry on.") from None


def cache_key(tenant: str, handler: str, version: str, input: bytes) -> str:
    """Names equal work: SHA-256, in hex, of whose it is and what it is. input: canonical."""
    return _digest([tenant, handler, version, orjson.Fragment(input)])


def fingerprint(body: Any) -> str:
    """Tells requests apart: SHA-256, in hex, of the canonical body. Raises Problem as `canonical`."""
    return hashlib.sha256(canonical(body)).hexdigest()


def scope_hash(tenant: str, route: str, key: str) -> str:
    """Names an Idempotency-Key for ever, without holding it: SHA-256, in hex, with all that it is good for."""
    return _digest([tenant, route, key])


def _digest(parts: list[Any]) -> str:
    """A JSON array spells out where each part ends, so no two lists of parts are the same bytes."""
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
