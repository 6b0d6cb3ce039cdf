"""Reading the fields of a JSON object that a client sent: every fault at once, and nothing left unread. Pure.

Used by whatever takes a body: `submission`, `key_requests`, `dead_requests`.
"""

import re
from collections.abc import Callable
from typing import Any

from services.gateway.http.problems import INVALID_REQUEST, OUT_OF_RANGE, Fault, Problem
from shared.clock import parse_rfc3339


class MalformedError(ValueError):
    """Of the wrong type or form: 400."""


class BeyondError(ValueError):
    """Well-formed and past a limit: 422."""


class Fields:
    """Takes fields from an object, collects what is wrong with them, and knows what was left over.

    of: what the object is, for messages, such as "a job". at: where it is, as a JSON Pointer.
    Raises Problem 400 for what is no object.
    """

    def __init__(self, body: Any, *, of: str, at: str = "") -> None:
        if not isinstance(body, dict):
            raise Problem(INVALID_REQUEST, f"{at or 'The body'} must be a JSON object.")
        self._at = at
        self._left: dict[str, Any] = dict(body)
        self._of = of
        self._malformed: list[Fault] = []
        self._beyond: list[Fault] = []

    def required(self, name: str, read: Callable[[Any], Any]) -> Any:
        if name not in self._left:
            self._malformed.append(Fault(f"{self._at}/{name}", "is required"))
            return None
        return self._read(name, self._left.pop(name), read)

    def optional(self, name: str, read: Callable[[Any], Any]) -> Any:
        if name not in self._left:
            return None
        value = self._left.pop(name)
        return None if value is None else self._read(name, value, read)

    def beyond(self, name: str, detail: str) -> None:
        self._beyond.append(Fault(f"{self._at}/{name}", detail))

    def malformed(self, name: str, detail: str) -> None:
        self._malformed.append(Fault(f"{self._at}/{name}", detail))

    def finish(self) -> None:
        """Raises Problem: 400 for what is malformed or unknown, 422 for what is beyond a limit."""
        self._malformed.extend(
            Fault(f"{self._at}/{_escaped(name)}", f"is not a field of {self._of}") for name in self._left
        )
        if self._malformed:
            raise Problem(INVALID_REQUEST, "The request is malformed.", errors=self._malformed)
        if self._beyond:
            raise Problem(OUT_OF_RANGE, "The request is beyond a limit.", errors=self._beyond)

    def _read(self, name: str, value: Any, read: Callable[[Any], Any]) -> Any:
        try:
            return read(value)
        except BeyondError as fault:
            self.beyond(name, str(fault))
        except MalformedError as fault:
            self.malformed(name, str(fault))
        return None


def text(*, least: int = 1, most: int = 200) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise MalformedError(f"must be a string of {least} to {most} characters")
        return value

    return read


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise MalformedError("must be true or false")
    return value


def matching(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    """what: the text must be, for the message."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise MalformedError(f"must be {what}")
        return value

    return read


def time(value: Any) -> int:
    """Milliseconds since the epoch."""
    try:
        return parse_rfc3339(value)
    except (TypeError, ValueError, OverflowError):
        raise MalformedError("must be an RFC 3339 date-time with an offset") from None


def number(*, most: float, least: float | None = None, above: float | None = None) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise MalformedError("must be a number")
        if value > most or (least is not None and value < least) or (above is not None and value <= above):
            raise BeyondError(
                f"must be {f'above {above:g}' if least is None else f'at least {least:g}'}, at most {most:g}"
            )
        return float(value)

    return read


def whole(*, least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():  # JSON has numbers only: 3.0 is 3
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise MalformedError("must be a whole number")
        if not least <= value <= most:
            raise BeyondError(f"must be from {least} to {most}")
        return value

    return read


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
