"""Which queues must exist: those that the configured handlers are on. And which of them operators have paused."""

import importlib
from collections.abc import Iterable

from deploy.admin.settings import Settings
from shared.errors import ConfigError
from shared.storage.firestore import FirestoreDatabase, FirestoreQueueControls
from sluice import Handlers


def queues_of(paths: Iterable[str]) -> set[str]:
    """The queues of the `package.module:name` in `paths`. Raises ConfigError where one is no Handlers."""
    return {definition.queue for path in paths for definition in _handlers(path)}


def _handlers(path: str) -> Handlers:
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as fault:
        raise ConfigError(f"SLUICE_HANDLERS: {path} cannot be imported ({type(fault).__name__})") from fault
    if not isinstance(found, Handlers):
        raise ConfigError(f"SLUICE_HANDLERS: {path} is not a Handlers")
    return found


async def paused(settings: Settings) -> frozenset[str]:
    """The queues that operators have paused. Raises StoreUnavailable."""
    async with FirestoreDatabase(settings.project, settings.firestore_emulator or None) as database:
        said = await FirestoreQueueControls(database).all()
    return frozenset(control.name for control in said if control.paused)
