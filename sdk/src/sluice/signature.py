"""Reads a handler's signature: what it takes, what it returns, and whether it wants a `JobContext`.

Called by `definition` at decoration. Annotations are resolved in the author's module, so
`from __future__ import annotations` makes no difference.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict

from sluice.context import JobContext
from sluice.errors import DefinitionError
from sluice.outputs import Outputs

_SHAPE = "a handler is `def f(input: T) -> R` or `def f(input: T, job: JobContext) -> R`"
_REDUCER_SHAPE = (
    "a reducer is `def f(outputs: Outputs[T]) -> R`, then, if it wants them, its options and `job: JobContext`"
)

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class NoOptions(BaseModel):
    """What a reducer takes that takes no options."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Signature:
    input: Any
    """The annotation of the parameter that is not the context and not the outputs."""
    output: Any
    """The return annotation."""
    takes_input: bool
    takes_context: bool
    is_async: bool
    item: Any = None
    """Of a reducer: what its outputs are of."""


def read_signature(function: Callable[..., object]) -> Signature:
    """Of a handler of single jobs. Raises DefinitionError."""
    names, hints = _read(function, most=2, shape=_SHAPE)
    if any(_is_outputs(hints[name]) for name in names):
        raise DefinitionError("`Outputs` are what reducers take; register it with `@handlers.reduce`")
    if len(names) > 1 and hints[names[1]] is not JobContext:
        raise DefinitionError(f"`{names[1]}` must be annotated with JobContext: {_SHAPE}")
    if hints[names[0]] is JobContext:
        raise DefinitionError(f"the input comes first: {_SHAPE}")
    return Signature(
        hints[names[0]],
        hints["return"],
        takes_input=True,
        takes_context=len(names) > 1,
        is_async=inspect.iscoroutinefunction(function),
    )


def read_reducer(function: Callable[..., object]) -> Signature:
    """Of a reducer. Raises DefinitionError."""
    names, hints = _read(function, most=3, shape=_REDUCER_SHAPE)
    outputs, *others = (hints[name] for name in names)
    if not _is_outputs(outputs):
        raise DefinitionError(f"`{names[0]}` must be annotated with Outputs: {_REDUCER_SHAPE}")
    if outputs is Outputs:
        raise DefinitionError(f"`{names[0]}` does not say of what: Outputs[T], T being the batch's handler's output")
    takes_context = bool(others) and others[-1] is JobContext
    options = others[:-1] if takes_context else others
    if len(options) > 1 or JobContext in options:
        raise DefinitionError(f"it takes other parameters than the outputs, options and the context: {_REDUCER_SHAPE}")
    return Signature(
        options[0] if options else NoOptions,
        hints["return"],
        takes_input=bool(options),
        takes_context=takes_context,
        is_async=inspect.iscoroutinefunction(function),
        item=get_args(outputs)[0],
    )


def _is_outputs(hint: Any) -> bool:
    return hint is Outputs or get_origin(hint) is Outputs


def _read(function: Callable[..., object], *, most: int, shape: str) -> tuple[list[str], dict[str, Any]]:
    if not inspect.isfunction(function):
        raise DefinitionError(f"{type(function).__name__} objects cannot be handlers; register a plain function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError("a handler returns its output once; to stream pieces of it, call `job.emit`")
    names = _parameters(function, most, shape)
    hints = _hints(function)
    _check_annotated(names, hints, shape)
    return names, hints


def _parameters(function: Callable[..., object], most: int, shape: str) -> list[str]:
    parameters = list(inspect.signature(function).parameters.values())
    if not 1 <= len(parameters) <= most or any(each.kind not in _BY_POSITION for each in parameters):
        raise DefinitionError(f"it takes other parameters than the input and the context: {shape}")
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


def _check_annotated(names: list[str], hints: dict[str, Any], shape: str) -> None:
    missing = [f"`{name}`" for name in names if name not in hints]
    missing += [] if "return" in hints else ["the return value"]
    if missing:
        raise DefinitionError(f"{' and '.join(missing)} has no type annotation: {shape}")
