"""What a client asks for when it posts a job: the body of `POST /v1/jobs`, read into a value. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.gateway.problems import INVALID_REQUEST, OUT_OF_RANGE, Fault, Problem
from shared.clock import MILLISECONDS, parse_rfc3339

MAX_DELAY_SECONDS = 30 * 86_400
MAX_EXPIRES_IN_SECONDS = 6 * 86_400
"""The broker keeps a message for 7 days."""
MAX_TIMEOUT_SECONDS = 3_600
MAX_ATTEMPTS = 100
MAX_LABELS, MAX_LABEL_KEY, MAX_LABEL_VALUE = 16, 63, 256


class Caching(StrEnum):
    """What a request wants of results that equal requests share."""

    USE = "use"
    REFRESH = "refresh"
    """Run, and replace what is there."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
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

    @property
    def shareable(self) -> bool:
        """Whether it asks for the work and nothing else: only such requests can share a job."""
        return self.cache is not Caching.OFF and self == Submission(self.handler, self.input, cache=self.cache)


def parse_submission(body: Any, *, now: int) -> Submission:
    """Raises Problem: 400 for what is malformed or unknown, 422 for what is beyond a limit, every fault at once."""
    if not isinstance(body, dict):
        raise Problem(INVALID_REQUEST, "The body must be a JSON object.")
    reader = _Reader(body)
    handler = reader.required("handler", _text)
    submission = Submission(
        handler=handler or "",
        input=reader.required("input", lambda value: value),
        run_at=_run_at(reader, now),
        timeout_seconds=reader.optional("timeout_seconds", _number(above=0, most=MAX_TIMEOUT_SECONDS)),
        max_attempts=reader.optional("max_attempts", _whole(least=1, most=MAX_ATTEMPTS)),
        expires_in_seconds=reader.optional("expires_in_seconds", _whole(least=1, most=MAX_EXPIRES_IN_SECONDS)),
        labels=reader.optional("labels", _labels) or {},
        cache=reader.optional("cache", _caching) or Caching.USE,
    )
    reader.finish()
    return submission


class _MalformedError(ValueError):
    """Of the wrong type or form: 400."""


class _BeyondError(ValueError):
    """Well-formed and past a limit: 422."""


class _Reader:
    """Takes fields from an object, collects what is wrong with them, and knows what was left over."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._left = dict(body)
        self._malformed: list[Fault] = []
        self._beyond: list[Fault] = []

    def required(self, name: str, read: Callable[[Any], Any]) -> Any:
        if name not in self._left:
            self._malformed.append(Fault(f"/{name}", "is required"))
            return None
        return self._read(name, self._left.pop(name), read)

    def optional(self, name: str, read: Callable[[Any], Any]) -> Any:
        value = self._left.pop(name, None)
        return None if value is None else self._read(name, value, read)

    def beyond(self, name: str, detail: str) -> None:
        self._beyond.append(Fault(f"/{name}", detail))

    def malformed(self, name: str, detail: str) -> None:
        self._malformed.append(Fault(f"/{name}", detail))

    def finish(self) -> None:
        self._malformed.extend(Fault(f"/{_escaped(name)}", "is not a field of a job") for name in self._left)
        if self._malformed:
            raise Problem(INVALID_REQUEST, "The request is malformed.", errors=self._malformed)
        if self._beyond:
            raise Problem(OUT_OF_RANGE, "The request is beyond a limit.", errors=self._beyond)

    def _read(self, name: str, value: Any, read: Callable[[Any], Any]) -> Any:
        try:
            return read(value)
        except _BeyondError as fault:
            self.beyond(name, str(fault))
        except _MalformedError as fault:
            self.malformed(name, str(fault))
        return None


def _run_at(reader: _Reader, now: int) -> int | None:
    at: int | None = reader.optional("run_at", _time)
    delay: float | None = reader.optional("delay_seconds", _number(least=0, most=MAX_DELAY_SECONDS))
    if at is not None and delay is not None:
        reader.malformed("delay_seconds", "cannot stand beside run_at")
    if delay:
        return now + round(delay * MILLISECONDS)
    if at is None or at <= now:
        return None
    if at > now + MAX_DELAY_SECONDS * MILLISECONDS:
        reader.beyond("run_at", f"must be within {MAX_DELAY_SECONDS} seconds from now")
    return at


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise _MalformedError("must be a string of 1 to 200 characters")
    return value


def _time(value: Any) -> int:
    try:
        return parse_rfc3339(value)
    except (TypeError, ValueError, OverflowError):
        raise _MalformedError("must be an RFC 3339 date-time with an offset") from None


def _number(*, most: float, least: float | None = None, above: float | None = None) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _MalformedError("must be a number")
        if value > most or (least is not None and value < least) or (above is not None and value <= above):
            raise _BeyondError(
                f"must be {f'above {above:g}' if least is None else f'at least {least:g}'}, at most {most:g}"
            )
        return float(value)

    return read


def _whole(*, least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _MalformedError("must be a whole number")
        if not least <= value <= most:
            raise _BeyondError(f"must be from {least} to {most}")
        return value

    return read


def _caching(value: Any) -> Caching:
    try:
        return Caching(value)
    except ValueError:
        raise _MalformedError("must be use, refresh or off") from None


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _MalformedError("must be an object of strings")
    if len(value) > MAX_LABELS:
        raise _BeyondError(f"at most {MAX_LABELS} labels")
    if any(not 0 < len(key) <= MAX_LABEL_KEY or len(each) > MAX_LABEL_VALUE for key, each in value.items()):
        raise _BeyondError(f"keys of 1 to {MAX_LABEL_KEY} characters, values of at most {MAX_LABEL_VALUE}")
    return value


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
