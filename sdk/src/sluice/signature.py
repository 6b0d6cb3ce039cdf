"""Reads a handler's signature: what it takes, what it returns, and whether it wants a `JobContext`.

Called by `handlers` at decoration. Annotations are resolved in the author's module, so
`from __future__ import annotations` makes no difference.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from sluice.context import JobContext
from sluice.errors import DefinitionError

_SHAPE = "a handler is `def f(input: T) -> R` or `def f(input: T, job: JobContext) -> R`"

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Signature:
    input: Any
    """The annotation of the first parameter."""
    output: Any
    """The return annotation."""
    takes_context: bool
    is_async: bool


def read_signature(function: Callable[..., object]) -> Signature:
    """Raises DefinitionError."""
    if not inspect.isfunction(function):
        raise DefinitionError(f"{type(function).__name__} objects cannot be handlers; register a plain function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError("a handler returns its output once; to stream pieces of it, call `job.emit`")
    names = _parameters(function)
    hints = _hints(function)
    _check_annotated(names, hints)
    if len(names) > 1 and hints[names[1]] is not JobContext:
        raise DefinitionError(f"`{names[1]}` must be annotated with JobContext: {_SHAPE}")
    if hints[names[0]] is JobContext:
        raise DefinitionError(f"the input comes first: {_SHAPE}")
    return Signature(hints[names[0]], hints["return"], len(names) > 1, inspect.iscoroutinefunction(function))


def _parameters(function: Callable[..., object]) -> list[str]:
    parameters = list(inspect.signature(function).parameters.values())
    if not 1 <= len(parameters) <= 2 or any(each.kind not in _BY_POSITION for each in parameters):
        raise DefinitionError(f"it takes other parameters than the input and the context: {_SHAPE}")
    return [each.name for each in parameters]


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"an annotation names `{error.name}`, which the module does not define when it runs; "
            "import it outside of `if TYPE_CHECKING`, and define types at module level"
        ) from error
    except (TypeError, SyntaxError, AttributeError) as error:
        raise DefinitionError(f"an annotation cannot be read: {error}") from error


def _check_annotated(names: list[str], hints: dict[str, Any]) -> None:
    missing = [f"`{name}`" for name in names if name not in hints]
    missing += [] if "return" in hints else ["the return value"]
    if missing:
        raise DefinitionError(f"{' and '.join(missing)} has no type annotation: {_SHAPE}")
