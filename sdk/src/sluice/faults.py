"""Pydantic's findings as `Fault`s: a JSON Pointer and a reason each, without the values that were found.

Called by `schema`. Three things stand between pydantic's report and ours. Its locations name branches of unions beside
keys and indexes, so a location is followed through the value and what is not there is left out. A few of its own
messages quote the value; they are replaced. And messages written by authors (or by whatever their validators call, such
as `int("hunter2")`) may quote it too, so every part of the value that appears in one is blanked.
"""

import re
from collections.abc import Iterator, Mapping
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from sluice.errors import MAX_FAULTS, Fault
from sluice.wording import wording

MAX_REASON = 500
BLANK = "…"

_REPLACED = {
    "union_tag_invalid": "Input tag does not match any of the expected tags",
    "uuid_parsing": "Input should be a valid UUID",
    "bytes_invalid_encoding": "Data should be valid in the encoding expected",
    "timezone_offset": "The time zone offset is not the one expected",
    "url_parsing": "Input should be a valid URL",
    "url_syntax_violation": "Input should be a valid URL",
    "mapping_type": "Input should be a valid mapping",
    "iteration_error": "Input could not be iterated over",
    "get_attribute_error": "An attribute could not be read",
}
_AUTHORED = frozenset({"value_error", "assertion_error"})
_OWN_WORDS = frozenset(get_args(ErrorType)) - _AUTHORED

_MAX_NODES = 10_000
_SHORT = 3
"""Shorter texts than this stand in too many words by chance; they are blanked only where they are quoted."""
_QUOTED = re.compile(r"""(?<!\w)(["'`])(.+?)\1(?!\w)""", re.DOTALL)


def faults(error: ValidationError, value: object) -> list[Fault]:
    """What is wrong with `value`, the first `MAX_FAULTS` of it."""
    found = error.errors(include_url=False, include_context=False)
    listed = [Fault(_pointer(detail, value), _reason(detail)) for detail in found[:MAX_FAULTS]]
    if len(found) > MAX_FAULTS:
        listed.append(Fault("", f"and {len(found) - MAX_FAULTS} more"))
    return listed


def _pointer(detail: ErrorDetails, value: object) -> str:
    return "".join(f"/{_escape(step)}" for step in _steps(detail, value))


def _escape(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _steps(detail: ErrorDetails, value: object) -> Iterator[str | int]:
    last = len(detail["loc"]) - 1
    for place, step in enumerate(detail["loc"]):
        if _leads_on(value, step):
            yield step
            value = value[step]  # type: ignore[index]
        elif place == last and detail["type"] == "missing":
            yield step


def _leads_on(value: object, step: str | int) -> bool:
    if isinstance(value, Mapping):
        return step in value
    return isinstance(value, (list, tuple)) and isinstance(step, int) and 0 <= step < len(value)


def _reason(detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind in _REPLACED:
        return _REPLACED[kind]
    if kind in _OWN_WORDS:
        return wording("reason", detail["msg"], MAX_REASON)
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return wording("reason", _blanked(message, detail["input"]), MAX_REASON)


def _blanked(message: str, value: object) -> str:
    leaves = _leaves(value)
    if leaves is None:
        return "The value does not satisfy the handler's own check"

    def quoted(match: re.Match[str]) -> str:
        return BLANK if any(match[2] in leaf for leaf in leaves) else match[0]

    message = _QUOTED.sub(quoted, message)
    for leaf in sorted((leaf for leaf in leaves if len(leaf) >= _SHORT), key=len, reverse=True):
        message = message.replace(leaf, BLANK)
    return message


def _leaves(value: object) -> set[str] | None:
    """Every text and number in `value`, keys too, as a message would show it. None when there are too many."""
    found: set[str] = set()
    pending = [value]
    for _ in range(_MAX_NODES):
        if not pending:
            return found
        node = pending.pop()
        if isinstance(node, dict):
            pending += (*node.keys(), *node.values())
        elif isinstance(node, (list, tuple, set, frozenset)):
            pending += node
        elif node is not None and not isinstance(node, bool) and node != "":
            found.add(str(node))
    return None
