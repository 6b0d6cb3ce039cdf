"""The settings by themselves: what no process could run with, and what must not be so where real work is done."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from deploy.admin.doctor.finding import Finding, fault, fine, warning
from deploy.admin.queues import queues_of
from deploy.admin.settings import Settings
from shared.cache.redis.address import Address
from shared.errors import ConfigError
from shared.ids import IdKeys
from shared.sealing import Sealer

DEVELOPMENT_KEY_SHA256: Final = "99c97b92b56bbb5f"
"""Begins the hash of the key that docker-compose.yml has for everybody to read."""
DEVELOPMENT_WEBHOOK_KEY_SHA256: Final = "ad4cbeaf90bea2f0"
"""The same of the key that seals webhook secrets."""


def examine(settings: Settings) -> Iterator[Finding]:
    yield _emulators(settings)
    yield _id_keys(settings)
    yield _webhook_keys(settings)
    yield _redis(settings)
    yield _handlers(settings)
    if _real(settings):
        yield _project(settings)
        if settings.dev_keys.reveal():
            yield fault(
                "SLUICE_DEV_KEYS", "API keys stand in a variable, on the real service", "unset it; sluice-admin keys"
            )


def _real(settings: Settings) -> bool:
    return not settings.pubsub_emulator and not settings.firestore_emulator


def _emulators(settings: Settings) -> Finding:
    about = "emulators"
    if bool(settings.pubsub_emulator) != bool(settings.firestore_emulator):
        return fault(
            about,
            "one of PUBSUB_EMULATOR_HOST and FIRESTORE_EMULATOR_HOST is set, the other is not",
            "set both or none: messages and documents belong together",
        )
    return fine(about, "the real services" if _real(settings) else "both")


def _project(settings: Settings) -> Finding:
    if settings.project == "sluice-local":
        return fault("SLUICE_PROJECT", "is the one for development, on the real service", "name your project")
    return fine("SLUICE_PROJECT", settings.project)


def _id_keys(settings: Settings) -> Finding:
    about, text = "SLUICE_ID_KEYS", settings.id_keys.reveal()
    if not text:
        return warning(about, "is not set here", "services do not start without; set it to have it looked at")
    try:
        keys = IdKeys.parse(text)
    except ConfigError as error:
        return fault(about, str(error), "set version:hex, comma-separated: 1:$(openssl rand -hex 32)")
    if _real(settings) and _known(keys.by_version.values(), DEVELOPMENT_KEY_SHA256):
        return fault(about, "holds the key that everybody knows", "draw one: openssl rand -hex 32")
    return fine(about, f"{len(keys.by_version)} keys, {keys.current} signs")


def _webhook_keys(settings: Settings) -> Finding:
    about, text = "SLUICE_WEBHOOK_KEYS", settings.webhook_keys.reveal()
    if not text:
        return warning(about, "is not set here", "gateway and webhooks need it; set it to have it looked at")
    try:
        keys = Sealer.parse(text).keys
    except ConfigError as error:
        return fault(about, str(error), "set version:hex of 32 bytes, comma-separated: 1:$(openssl rand -hex 32)")
    if _real(settings) and _known(keys.values(), DEVELOPMENT_WEBHOOK_KEY_SHA256):
        return fault(about, "holds the key that everybody knows", "add one (2:$(openssl rand -hex 32)), keep the old")
    return fine(about, f"{len(keys)} keys, {max(keys)} seals")


def _known(keys: Iterable[bytes], sha256: str) -> bool:
    return any(hashlib.sha256(key).hexdigest().startswith(sha256) for key in keys)


def _redis(settings: Settings) -> Finding:
    about = "REDIS_URL"
    try:
        address = Address.parse(settings.redis_url)
    except ConfigError as error:
        return fault(about, str(error), "set redis://host:6379/0, or rediss:// for TLS")
    if _real(settings) and address.tls is None:
        return warning(about, "is not encrypted", "rediss://…?ssl_ca_certs=<the cache's authority>")
    return fine(about, f"{address.host}:{address.port}")


def _handlers(settings: Settings) -> Finding:
    about = "SLUICE_HANDLERS"
    if not settings.handlers:
        return warning(about, "is not set here", "set it as for the workers, to have their queues looked at")
    try:
        queues = queues_of(settings.handlers)
    except ConfigError as error:
        return fault(about, str(error), "name each as package.module:name, importable where this runs")
    return fine(about, f"{len(settings.handlers)} modules, queues {', '.join(sorted(queues))}")
