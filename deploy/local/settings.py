"""What `make run` reads from the environment, once. Everything else starts from `system.Options` in code.

The other variables that count are the backends' own (`PUBSUB_EMULATOR_HOST`, `FIRESTORE_EMULATOR_HOST`, `REDIS_URL`),
read by `backends.Given`.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from deploy.local.errors import SettingError
from shared.config import load, setting
from shared.errors import ConfigError
from shared.models.key import TENANT, KeyToken

EXAMPLE_HANDLERS: Final = (
    "examples.texts:handlers",
    "examples.corpus:handlers",
    "examples.tables:handlers",
    "examples.columns:handlers",
    "examples.images:handlers",
    "examples.debug:handlers",
)
DEVELOPMENT_TENANT: Final = "dev"
_MAX_PORT: Final = 65_535
_MAX_PROCESSES: Final = 64


@dataclass(frozen=True, slots=True)
class DevKey:
    """An API key for development: known in full, unlike the ones of a deployment.

    token: what a client sends, `sk_<id>_<secret>`.
    """

    tenant: str
    token: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `tenant:sk_<id>_<secret>`. Raises ValueError with what is wrong, never with the secret."""
        tenant, colon, token = text.partition(":")
        if not colon:
            raise ValueError("it has no colon between tenant and key")
        if not TENANT.fullmatch(tenant):
            raise ValueError("the tenant must be lower-case letters, digits and hyphens")
        if KeyToken.parse(token) is None:
            raise ValueError("the key must be sk_<id>_<secret>; the id is of letters, digits and hyphens")
        return cls(tenant, token)

    @property
    def id(self) -> str:
        """The part by which the key is stored and named."""
        return self.token.split("_")[1]

    @classmethod
    def generate(cls) -> Self:
        """A new key for the development tenant."""
        return cls(DEVELOPMENT_TENANT, f"sk_dev_{secrets.token_hex(16)}")

    def __str__(self) -> str:
        return f"{self.tenant}:{self.token}"


def parse_keys(texts: tuple[str, ...]) -> tuple[DevKey, ...]:
    """One key an entry. Raises SettingError naming every entry at fault by its place."""
    keys, faults = [], []
    for place, text in enumerate(texts, start=1):
        try:
            keys.append(DevKey.parse(text))
        except ValueError as fault:
            faults.append(f"SLUICE_DEV_KEYS, entry {place}: {fault}")
    ids = [key.id for key in keys]
    if len(ids) != len(set(ids)):
        faults.append("SLUICE_DEV_KEYS: two keys have the same id")
    if faults:
        raise SettingError("\n".join(faults))
    return tuple(keys)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The environment of `make run`."""

    port: int = setting(8080, why="port of the gateway")
    dev_keys: tuple[str, ...] = setting((), why="tenant:sk_<id>_<secret>, exactly these; else one is generated")
    handlers: tuple[str, ...] = setting((), why="module:attribute of your handlers, added to the examples")
    push: bool = setting(False, why="push messages to the workers, through a bridge, instead of letting them pull")
    gateway_processes: int = setting(1, why="they share the port")
    worker_processes: int = setting(1, why="each runs jobs side by side already; more use more cores")

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Raises SettingError naming every value that cannot be used."""
        try:
            settings = load(cls, environ)
        except ConfigError as fault:
            raise SettingError(str(fault).replace("; ", "\n")) from None
        faults = _out_of_range(settings)
        if faults:
            raise SettingError("\n".join(faults))
        return settings

    @property
    def keys(self) -> tuple[DevKey, ...]:
        """The keys to seed. Raises SettingError."""
        return parse_keys(self.dev_keys) or (DevKey.generate(),)

    @property
    def all_handlers(self) -> tuple[str, ...]:
        """The examples, then the user's, each once."""
        return tuple(dict.fromkeys(EXAMPLE_HANDLERS + self.handlers))


def _out_of_range(settings: RunSettings) -> list[str]:
    numbers = (
        ("SLUICE_PORT", settings.port, _MAX_PORT),
        ("SLUICE_GATEWAY_PROCESSES", settings.gateway_processes, _MAX_PROCESSES),
        ("SLUICE_WORKER_PROCESSES", settings.worker_processes, _MAX_PROCESSES),
    )
    faults = [f"{name} must be 1 to {largest}" for name, value, largest in numbers if not 1 <= value <= largest]
    faults += [f"SLUICE_HANDLERS: {text} is not module:attribute" for text in settings.handlers if ":" not in text]
    return faults
