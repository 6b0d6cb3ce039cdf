"""The only way out: names resolved and addresses checked at every connect, no matter who asks for what.

Two walls of the same rules (`shared/egress.py`). The resolver checks every address of a name and refuses the whole name
for one that is forbidden. The socket factory sees each address that is really dialled, also one that no resolver was
asked for, and refuses it. No proxy, cookie, redirect or decompression: the session is made here and nowhere else.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import aiodns
import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.egress import Rules
from shared.errors import ConfigError, DestinationNotAllowed

MAX_HEADER_BYTES: Final = 16 * 1024
"""Of an answer's status line or of one of its header fields."""
KEEPALIVE_SECONDS: Final = 15.0
MAX_ADDRESSES: Final = 16
"""Of one name; checked all, dialled in their order."""


class NameUnknown(OSError):
    """The name does not resolve, or not in time."""


class Lookup(Protocol):
    async def addresses(self, host: str) -> Sequence[str]:
        """All A and AAAA addresses, as text. Raises NameUnknown."""
        ...


class DnsLookup:
    """Asynchronous DNS: a name that answers slowly delays nobody else's.

    server: `host:port` of the one to ask; empty: the machine's own. Raises ConfigError.
    """

    def __init__(self, server: str, *, seconds: float) -> None:
        options: dict[str, Any] = {"timeout": seconds, "tries": 1}
        if server:
            host, _, port = server.rpartition(":")
            if not host or not port.isdecimal():
                raise ConfigError("SLUICE_WEBHOOKS_DNS is not host:port")
            options |= {"nameservers": [host], "udp_port": int(port), "tcp_port": int(port)}
        self._resolver = aiodns.DNSResolver(**options)

    async def addresses(self, host: str) -> Sequence[str]:
        try:
            found = await self._resolver.getaddrinfo(host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError:
            raise NameUnknown("the name does not resolve") from None
        return [_text(node.addr[0]) for node in found.nodes]

    async def aclose(self) -> None:
        await self._resolver.close()


class CheckedResolver(AbstractResolver):
    """seconds: for one name."""

    def __init__(self, lookup: Lookup, rules: Rules, *, seconds: float) -> None:
        self._lookup = lookup
        self._rules = rules
        self._seconds = seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises NameUnknown, and DestinationNotAllowed if any address is forbidden."""
        try:
            async with asyncio.timeout(self._seconds):
                addresses = await self._lookup.addresses(host)
        except TimeoutError:
            raise NameUnknown("the name did not resolve in time") from None
        if not addresses:
            raise NameUnknown("the name has no address")
        for address in addresses:
            self._rules.address(host, address)
        return [_result(host, address, port) for address in addresses[:MAX_ADDRESSES]]

    async def close(self) -> None:
        """The lookup is whose who made it."""


def guarded_socket(rules: Rules) -> Callable[[Any], socket.socket]:
    """A socket factory that refuses what `rules` forbids, whatever led there."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        # Loopback is let through for local names only; the name is known to the resolver, which has checked it.
        with contextlib.suppress(DestinationNotAllowed):
            if rules.local:
                rules.address("localhost", address[0])
                return _socket(family, kind, protocol)
        rules.address("", address[0])
        return _socket(family, kind, protocol)

    return make


@asynccontextmanager
async def session(
    rules: Rules, lookup: Lookup, *, dns_seconds: float, connect_seconds: float, tls: ssl.SSLContext | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """The client through which every endpoint is called.

    tls: whom to trust, if not whom the machine trusts. Attempts have their own deadline beside `connect_seconds`.
    """
    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(lookup, rules, seconds=dns_seconds),
        socket_factory=guarded_socket(rules),
        use_dns_cache=False,
        limit=0,
        happy_eyeballs_delay=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        ssl=True if tls is None else tls,
    )
    client = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding"],
    )
    async with client:
        yield client


def _text(address: str | bytes) -> str:
    return address.decode("ascii", "replace") if isinstance(address, bytes) else address


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


def _socket(family: int, kind: int, protocol: int) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made
