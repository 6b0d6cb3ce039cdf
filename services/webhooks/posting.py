"""One attempt: a POST of exactly the signed bytes, and what it says of message and endpoint. Used by the deliverer.

An answer's status decides; its body is read to 16 KiB and dropped, since whatever it says is nobody's business here.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from services.webhooks.egress import NameUnknown
from services.webhooks.retry import retry_after
from shared.clock import MILLISECONDS, Clock
from shared.errors import DestinationNotAllowed
from shared.models.delivery import AttemptRecord, ErrorClass

MAX_ANSWER_BYTES: Final = 16 * 1024
USER_AGENT: Final = "Sluice-Webhooks/1"
_GONE, _TOO_MANY, _UNAVAILABLE = 410, 429, 503
_NOBODY_HOME: Final = frozenset({ErrorClass.CONNECT, ErrorClass.TIMEOUT, ErrorClass.CONNECTION, ErrorClass.DNS})


@dataclass(frozen=True, slots=True)
class Succeeded:
    record: AttemptRecord


@dataclass(frozen=True, slots=True)
class Failed:
    """To be tried again."""

    record: AttemptRecord
    retry_after_seconds: float | None = None

    @property
    def timed_out(self) -> bool:
        return self.record.error is ErrorClass.TIMEOUT or self.record.error is ErrorClass.DNS

    @property
    def nobody_home(self) -> bool:
        """Whether the endpoint's breaker counts it."""
        return self.record.error in _NOBODY_HOME or (self.record.status or 0) >= 500

    @property
    def asks_for_a_pause(self) -> bool:
        return self.retry_after_seconds is not None and self.record.status in {_TOO_MANY, _UNAVAILABLE}


@dataclass(frozen=True, slots=True)
class Gone:
    """410: the endpoint wants nothing any more."""

    record: AttemptRecord


@dataclass(frozen=True, slots=True)
class Blocked:
    """The rules forbid calling there. Nothing was sent."""

    record: AttemptRecord


Outcome = Succeeded | Failed | Gone | Blocked


@dataclass(frozen=True, slots=True)
class Poster:
    """total_seconds: for an attempt, resolving and the answer's body included."""

    session: aiohttp.ClientSession
    clock: Clock
    total_seconds: float

    async def post(self, url: URL, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Raises nothing but cancellation."""
        attempt = _Attempt(self.clock.now(), self.clock.monotonic(), self.clock)
        try:
            async with asyncio.timeout(self.total_seconds):
                return await self._answered(attempt, url, headers, body)
        except DestinationNotAllowed:
            return Blocked(attempt.record(error=ErrorClass.DESTINATION_NOT_ALLOWED))
        except TimeoutError:
            return Failed(attempt.record(error=ErrorClass.TIMEOUT))
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            return Failed(attempt.record(error=_class_of(fault)))

    async def _answered(self, attempt: "_Attempt", url: URL, headers: Mapping[str, str], body: bytes) -> Outcome:
        sent = CIMultiDict(headers)
        sent["User-Agent"] = USER_AGENT
        sent["Content-Type"] = "application/json"
        async with self.session.post(url, data=body, headers=sent, allow_redirects=False) as answer:
            await _drop_body(answer)
            return _outcome(attempt, answer)


@dataclass(frozen=True, slots=True)
class _Attempt:
    at: int
    began: float
    clock: Clock = field(repr=False)

    def record(self, *, status: int | None = None, error: ErrorClass | None = None) -> AttemptRecord:
        took = self.clock.monotonic() - self.began
        return AttemptRecord(self.at, round(took * MILLISECONDS), status, error)


async def _drop_body(answer: aiohttp.ClientResponse) -> None:
    """A connection with more on it than we read is not used again."""
    left = MAX_ANSWER_BYTES
    while left > 0:
        piece = await answer.content.read(left)
        if not piece:
            return
        left -= len(piece)
    answer.close()


def _outcome(attempt: _Attempt, answer: aiohttp.ClientResponse) -> Outcome:
    status = answer.status
    if 200 <= status <= 299:
        return Succeeded(attempt.record(status=status))
    if status == _GONE:
        return Gone(attempt.record(status=status, error=ErrorClass.STATUS))
    error = ErrorClass.REDIRECT if 300 <= status <= 399 else ErrorClass.STATUS
    wait = retry_after(answer.headers.get("Retry-After"), now=attempt.clock.now())
    return Failed(attempt.record(status=status, error=error), wait)


def _class_of(fault: Exception) -> ErrorClass:
    for kinds, found in _CLASSES:
        if isinstance(fault, kinds):
            return found
    return ErrorClass.RESPONSE


_CLASSES: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], ErrorClass], ...]] = (
    ((aiohttp.ClientConnectorDNSError, NameUnknown), ErrorClass.DNS),
    ((aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch), ErrorClass.TLS),
    ((aiohttp.ServerTimeoutError,), ErrorClass.TIMEOUT),
    ((aiohttp.ClientConnectorError,), ErrorClass.CONNECT),
    ((aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError), ErrorClass.CONNECTION),
)
