"""What failures have in common: a short hash that is equal for jobs that died of the same thing. Pure.

Computed once, when a job fails for good (`Job.failed`), and stored with it; dead letters are grouped and found by it.
Of the error's text only the first line counts, without what differs from job to job: quoted text, numbers, ids, paths,
addresses. So "no row 17 in 'orders'" and "no row 4 in 'users'" are one group.
"""

import hashlib
import re
from typing import Final

MAX_TEXT: Final = 200
"""Characters of the line that count: what differs behind them is detail."""
LENGTH: Final = 16
"""Characters of a fingerprint, lower-case hexadecimal."""
FINGERPRINT: Final = re.compile(rf"[0-9a-f]{{{LENGTH}}}", re.ASCII)

_VALUE: Final = "…"
_VALUES: Final = re.compile(
    r"""
      "(?:[^"\\]|\\.)*"                     # quoted text
    | (?<!\w)'(?:[^'\\]|\\.)*'
    | `[^`]*`
    | \b[a-z][a-z0-9+.-]*://\S+             # addresses
    | [\w.+-]+@[\w-]+\.[\w.-]+
    | (?<!\w)(?:/[\w.@%+~-]+){2,}/?         # paths
    | \b0x[0-9a-f]+\b                       # numbers and ids
    | \b[0-9a-z]*_?[0-9a-z]*\d[\w.:+-]*
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def fingerprint(handler: str, *codes: str, message: str) -> str:
    """Of a failure of `handler`. codes: what it ended with, and what its last attempt did."""
    parts = (handler, *codes, without_values(message))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:LENGTH]


def without_values(message: str) -> str:
    """The first line of `message`, with what differs from job to job taken out."""
    line = message.strip().partition("\n")[0][: MAX_TEXT * 4]
    return " ".join(_VALUES.sub(_VALUE, line).split())[:MAX_TEXT]
