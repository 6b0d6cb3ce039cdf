"""Connections of `sluice-admin`, each open for as long as a command takes."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from deploy.admin.settings import Settings
from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.storage.firestore import FirestoreDatabase

T = TypeVar("T")

CACHE_SECONDS = 2.0


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[FirestoreDatabase]:
    """Raises ConfigError where there are no credentials."""
    async with FirestoreDatabase(settings.project, settings.firestore_emulator or None) as opened:
        yield opened


@asynccontextmanager
async def cache(settings: Settings) -> AsyncIterator[Connection]:
    """Raises ConfigError for a URL that is none. One that leads nowhere is met by the first call."""
    address = Address.parse(settings.redis_url)
    async with Connection(address, timeout_seconds=CACHE_SECONDS, rng=random.Random()) as opened:  # noqa: S311 - jitter
        yield opened


def run(work: Coroutine[Any, Any, T]) -> T:
    """A command's work, in a loop of its own."""
    return asyncio.run(work)
