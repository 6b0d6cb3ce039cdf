"""What a status says of a write's fate. Used by the writer, the committer, the reader and queries.

The distinction that matters is between "not applied" and "may have been applied". Firestore refuses contention
(ABORTED) and quota (RESOURCE_EXHAUSTED) before it applies anything. A broken connection, a deadline or an internal
fault leave a write in doubt: it is sent again with its precondition, under which it cannot be applied twice, but a
conflict after a doubt may be with ourselves and is reported as CommitUnknown.
"""

from enum import Enum
from typing import Final

from grpc import StatusCode

from shared.storage.contract import Conflict


class Fate(Enum):
    """What became of a write that neither succeeded nor met a conflict."""

    NOT_YET = "not applied; trying again may help"
    DOUBT = "may have been applied"
    INVALID = "not applied; the document is at fault"
    DENIED = "not applied; trying again now is no use"


OK: Final = 0

CONFLICTS: Final = {
    StatusCode.ALREADY_EXISTS: Conflict.EXISTS,
    StatusCode.FAILED_PRECONDITION: Conflict.STALE,
    StatusCode.NOT_FOUND: Conflict.MISSING,
}

_FATES: Final = {
    StatusCode.ABORTED: Fate.NOT_YET,
    StatusCode.RESOURCE_EXHAUSTED: Fate.NOT_YET,
    StatusCode.INVALID_ARGUMENT: Fate.INVALID,
    StatusCode.OUT_OF_RANGE: Fate.INVALID,
    StatusCode.ALREADY_EXISTS: Fate.DENIED,
    StatusCode.FAILED_PRECONDITION: Fate.DENIED,
    StatusCode.NOT_FOUND: Fate.DENIED,
    StatusCode.PERMISSION_DENIED: Fate.DENIED,
    StatusCode.UNAUTHENTICATED: Fate.DENIED,
    StatusCode.UNIMPLEMENTED: Fate.DENIED,
}

_BY_NUMBER: Final = {code.value[0]: code for code in StatusCode}


def fate(code: StatusCode) -> Fate:
    """What `code` says of a call as a whole. Every code that is not known to mean "not applied" is a doubt."""
    return _FATES.get(code, Fate.DOUBT)


def outcome(number: int) -> Conflict | Fate:
    """What the number of a status other than OK says of one write inside a reply."""
    code = _BY_NUMBER.get(number, StatusCode.UNKNOWN)
    return CONFLICTS.get(code) or fate(code)
