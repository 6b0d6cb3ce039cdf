"""A small HTTP/1.1 client connection: keep-alive, one request at a time, messages rendered by the caller.

It costs a fraction of what the lightest server here does, which a general client cannot. It understands just what
Sluice and its peers send: a status line, headers, and a body with `Content-Length` (or none, for 204 and 304).
"""

from __future__ import annotations

import asyncio
import ipaddress
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    C = TypeVar("C", bound="Connection")

LOOPBACK: Final = "127.0.0.1"
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"
_NO_BODY: Final = frozenset({204, 304})
_CONNECT_SECONDS: Final = 10.0


class ProtocolFault(Exception):
    """The answer is not what this client reads."""


class ConnectionLost(Exception):
    """The connection ended where an answer was due."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server on this machine. Raises ValueError for any other: load goes nowhere else."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError(f"{self.host} is not on this machine")


def get(path: str, token: str = "", **headers: str) -> bytes:
    """A whole GET message. Header names are written with underscores."""
    return _message("GET", path, token, headers, b"")


def post(path: str, body: bytes, token: str = "", **headers: str) -> bytes:
    """A whole POST message with a JSON body."""
    typed = {"Content_Type": "application/json", "Content_Length": str(len(body)), **headers}
    return _message("POST", path, token, typed, body)


def _message(method: str, path: str, token: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: sluice.test"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def parse(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Status, body and what follows, or None while the answer is not all there. Raises ProtocolFault."""
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    if not data.startswith(b"HTTP/1."):
        raise ProtocolFault("the answer does not start like HTTP/1")
    status, begin = int(data[9:12]), end + 4
    if status in _NO_BODY:
        return status, b"", data[begin:]
    stop = begin + _content_length(data[:end])
    return (status, data[begin:stop], data[stop:]) if len(data) >= stop else None


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.find(_LENGTH)
    if at < 0:
        raise ProtocolFault("the answer has no Content-Length")
    at += len(_LENGTH)
    line_end = lowered.find(b"\r", at)
    return int(lowered[at : line_end if line_end > 0 else None])


class Connection(asyncio.Protocol, ABC):
    """Base of connections that react to each answer. A subclass says what to do then."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""

    @abstractmethod
    def answered(self, status: int, body: bytes) -> None:
        """Called for each answer, in order."""

    @abstractmethod
    def lost(self, fault: Exception) -> None:
        """Called once, when the connection ends, `close` included."""

    def send(self, message: bytes) -> None:
        """Send a request. The one before must have been answered."""
        if self._transport is not None:
            self._transport.write(message)

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        data = self._received + data if self._received else data
        try:
            found = parse(data)
        except (ProtocolFault, ValueError) as fault:
            self._abort(ProtocolFault(str(fault)))
            return
        if found is None:
            self._received = data
            return
        status, body, self._received = found
        if self._received:
            self._abort(ProtocolFault("more came than was asked for"))
            return
        self.answered(status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            self.lost(exc or ConnectionLost("the server closed the connection"))

    def _abort(self, fault: Exception) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self.lost(fault)


class Exchanges(Connection):
    """A connection to await answers on, for flows in which each request follows from the last answer."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    async def exchange(self, message: bytes) -> tuple[int, bytes]:
        """Send, and return status and body. Raises ConnectionLost or ProtocolFault."""
        if self._transport is None:
            raise ConnectionLost("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self.send(message)
        return await self._waiting

    def answered(self, status: int, body: bytes) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((status, body))

    def lost(self, fault: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            known = isinstance(fault, ConnectionLost | ProtocolFault)
            self._waiting.set_exception(fault if known else ConnectionLost(str(fault)))


async def connect(make: Callable[[], C], address: Address, source: str = "") -> C:
    """A new connection, from the source address of this machine that is named. Raises OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    local = (source, 0) if source else None
    async with asyncio.timeout(_CONNECT_SECONDS):
        _, connection = await loop.create_connection(make, address.host, address.port, local_addr=local)
    return connection
