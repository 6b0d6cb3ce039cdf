"""Where Sluice may call: the rules that keep tenants' addresses out of our own network. Pure, and denying by default.

Two questions, asked apart: may this URL be kept (`Rules.url`, by the gateway when a tenant names it and by the
webhooks service before each attempt), and may this address be dialled (`Rules.address`, at every connect, of every
address that the name resolves to). A name that was harmless when it was given may point anywhere later: only the second
one is safety.

Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates), the special-use
domain names (RFC 6761 and successors), and the WHATWG URL standard for hosts that "end in a number".
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from yarl import URL

from shared.errors import DestinationNotAllowed

MAX_URL: Final = 2_048
"""Characters."""
HTTPS_PORT: Final = 443
LOWEST_OTHER_PORT: Final = 1_024
"""Below it live services that are not meant to be spoken to in HTTP (mail, shells)."""

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_AUTHORITY_END: Final = re.compile(r"[/?#]")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_MAX_NAME: Final = 253
_LOCAL: Final = "localhost"
_CLOSED: Final = frozenset(
    {"internal", "local", _LOCAL, "localdomain", "lan", "home", "intranet", "private", "corp", "arpa", "onion"}
)
"""Last labels of names that mean something only inside a network."""

CLOSED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared, carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's own host agent, on a public address
        "169.254.0.0/16",  # link-local, and the metadata servers
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
OPEN_V6: Final = IPv6Network("2000::/3")
"""All of global unicast; what is outside needs no list."""
CLOSED_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: any IPv4 address in disguise
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)


@dataclass(frozen=True, slots=True)
class Rules:
    """local: also let http and loopback addresses through, for `localhost` and names below it, and nothing else."""

    local: bool = False

    def url(self, text: str) -> URL:
        """The URL, as it will be dialled. Raises DestinationNotAllowed."""
        if len(text) > MAX_URL or not _PRINTABLE.fullmatch(text) or "\\" in text:
            raise DestinationNotAllowed("the URL is too long, or holds characters that a URL does not")
        url = _parsed(text)
        host = url.raw_host or ""
        local = self.is_local(host)
        if url.scheme != "https" and not (local and url.scheme == "http"):
            raise DestinationNotAllowed("the URL's scheme is not https")
        if not local:
            _check_name(host)
            _check_port(url.port)
        return url

    def is_local(self, host: str) -> bool:
        """Whether `host` is a name that may lead to this machine."""
        return self.local and (host == _LOCAL or host.endswith(f".{_LOCAL}")) and _is_name(host)

    def address(self, host: str, address: str) -> None:
        """Whether `address`, which `host` resolved to, may be dialled. Raises DestinationNotAllowed if not."""
        found = _unwrapped(address)
        if self.is_local(host):
            if not found.is_loopback:
                raise DestinationNotAllowed("a local name leads elsewhere")
        elif not _is_public(found):
            raise DestinationNotAllowed("the address is not public")


def _parsed(text: str) -> URL:
    authority = _AUTHORITY_END.split(text.partition("://")[2], maxsplit=1)[0]
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise DestinationNotAllowed("the URL is malformed") from None
    if not url.absolute or not url.raw_host or "%" in authority or port is None or port == 0:
        raise DestinationNotAllowed("the URL is malformed")
    if "@" in authority or url.raw_fragment:
        raise DestinationNotAllowed("the URL has user information or a fragment")
    return url


def _is_name(host: str) -> bool:
    return len(host) <= _MAX_NAME and all(_LABEL.fullmatch(label) for label in host.split("."))


def _check_name(host: str) -> None:
    labels = host.split(".")
    if not _is_name(host):
        raise DestinationNotAllowed("the host is not a DNS name")
    if len(labels) < 2 or labels[-1] in _CLOSED:
        raise DestinationNotAllowed("the host is not a public name")
    if _NUMBER.fullmatch(labels[-1]):
        raise DestinationNotAllowed("the host is an address, not a name")


def _check_port(port: int | None) -> None:
    if port is None or (port != HTTPS_PORT and port < LOWEST_OTHER_PORT):
        raise DestinationNotAllowed(f"the port is neither {HTTPS_PORT} nor {LOWEST_OTHER_PORT} or above")


def _unwrapped(address: str) -> IPv4Address | IPv6Address:
    try:
        found = ip_address(address)
    except ValueError:
        raise DestinationNotAllowed("the name led to no address") from None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            raise DestinationNotAllowed("the address is of one link only")
        return found.ipv4_mapped or found
    return found


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in CLOSED_V4)
    return address in OPEN_V6 and not any(address in network for network in CLOSED_V6)
