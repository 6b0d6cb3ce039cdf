"""Where Redis is and how to be let in, read from a URL once. Called by a service's composition root."""

import ssl
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from shared.errors import ConfigError

DEFAULT_PORT = 6379
CA_OPTION = "ssl_ca_certs"
"""The file of the authority that signed the server's certificate. Memorystore has one of its own an instance."""


@dataclass(frozen=True, slots=True)
class Address:
    """What `redis://[user[:password]@]host[:port][/database]` says; `rediss://` is the same over TLS."""

    host: str
    port: int = DEFAULT_PORT
    user: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read the URL. Raises ConfigError, which never repeats the password."""
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORT
            database = int(parts.path.removeprefix("/") or 0)
        except ValueError:
            raise ConfigError("the Redis URL has a malformed port or database number") from None
        if parts.scheme not in {"redis", "rediss"} or not parts.hostname or database < 0:
            raise ConfigError("the Redis URL is not redis://[user:password@]host[:port][/database], or rediss://…")
        return cls(
            parts.hostname,
            port,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            database,
            _tls(parts),
        )

    def greeting(self) -> list[tuple[str | int, ...]]:
        """The commands that open a connection. PING last: it is refused while the server loads or wants a password."""
        commands: list[tuple[str | int, ...]] = []
        if self.password:
            commands.append(("AUTH", self.user, self.password) if self.user else ("AUTH", self.password))
        if self.database:
            commands.append(("SELECT", self.database))
        return [*commands, ("PING",)]


def _tls(parts: SplitResult) -> ssl.SSLContext | None:
    options = dict(parse_qsl(parts.query))
    authority = options.pop(CA_OPTION, None)
    if options or (authority and parts.scheme != "rediss"):
        raise ConfigError(f"the Redis URL takes no option but {CA_OPTION}, and that with rediss:// only")
    if parts.scheme != "rediss":
        return None
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ConfigError(f"the Redis URL's {CA_OPTION} cannot be read: {error.strerror}") from None
