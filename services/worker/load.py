"""Imports the modules that `SLUICE_HANDLERS` names and collects their handlers. Called by runners only: the worker's
own process never runs authors' code, not even at import.

Everything that is wrong is found in one go, so that an author mends it in one go.
"""

import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from types import ModuleType

from services.worker.execution.errors import HandlersNotLoaded, LoadFault
from sluice.definition import HandlerDefinition
from sluice.handlers import Handlers

_MAX_REASON = 1_000


class _AtFault(Exception):
    """The reason why one path gives no handlers."""


def load(paths: Iterable[str]) -> dict[str, HandlerDefinition]:
    """The handlers of all `paths` (`package.module:name`), by name. Raises HandlersNotLoaded with every fault."""
    found: dict[str, HandlerDefinition] = {}
    origin: dict[str, str] = {}
    faults: list[LoadFault] = []
    for path in paths:
        try:
            handlers = _handlers(path)
        except _AtFault as fault:
            faults.append(LoadFault(path, str(fault)))
            continue
        faults += [LoadFault(path, f"handler {name!r} is also in {origin[name]}") for name in _taken(handlers, origin)]
        found |= {each.name: each for each in handlers}
        origin |= {each.name: path for each in handlers}
    if not found and not faults:
        faults = [LoadFault("", "SLUICE_HANDLERS names no handlers; it is a list of package.module:name")]
    if faults:
        raise HandlersNotLoaded(faults)
    return found


def _taken(handlers: Handlers, origin: dict[str, str]) -> Iterator[str]:
    return (each.name for each in handlers if each.name in origin)


def _handlers(path: str) -> Handlers:
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise _AtFault("write it as package.module:name, where `name` is the module's Handlers object")
    module = _imported(module_name)
    handlers = getattr(module, name, None)
    if handlers is None:
        raise _AtFault(f"the module has no {name!r}{_hint(module, module_name)}")
    if not isinstance(handlers, Handlers):
        raise _AtFault(f"it is of type {type(handlers).__name__}, not a sluice.Handlers{_hint(module, module_name)}")
    if not len(handlers):
        raise _AtFault("no handler is registered on it")
    return handlers


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise _AtFault(f"there is no module {error.name!r} here (looked in {', '.join(sys.path)})") from None
        raise _AtFault(_reason(error)) from None
    except BaseException as error:  # noqa: BLE001 - authors' code may raise anything at import, SystemExit too
        raise _AtFault(_reason(error)) from None


def _reason(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames[1:] else ""
    text = traceback.format_exception_only(error)[-1].strip()
    return f"its import raised {text[:_MAX_REASON]}{where}"


def _hint(module: ModuleType, module_name: str) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, Handlers)]
    return f"; did you mean {' or '.join(f'{module_name}:{name}' for name in names)}?" if names else ""
