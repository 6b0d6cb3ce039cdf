"""The two ends of a handler as types: JSON in, JSON out, and the JSON Schema of each.

Made by `handlers` at decoration, where a type that pydantic cannot read or describe becomes a `DefinitionError`.
Parsing and rendering happen where the handler runs. Inputs are read in pydantic's default, lax mode: the gateway has
already held them against the schema, which calls 5.0 an integer where strict mode would refuse it after the 202.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError, SchemaError, SchemaSerializer, from_json
from pydantic_core.core_schema import CoreConfig

from sluice.errors import DefinitionError, Fault, InvalidInput, InvalidOutput
from sluice.faults import faults

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

_MISFIT = re.compile(
    r"^\s*PydanticSerializationUnexpectedValue\(Expected `([^`]+)` - serialized value may not be as expected "
    r"\[field_name='(\w+)'",
    re.MULTILINE,
)
"""The part of pydantic's serializer warnings that comes before the value."""

_REASONS = {
    "utf-8": "Text is not valid Unicode",
    "Circular reference": "The value contains itself",
    "depth exceeded": "The value is nested too deeply",
    "unknown type": "A value is of a type that JSON does not have",
    "Out of range float": "NaN and Infinity cannot be written as JSON",
}
"""Signs in the words of pydantic and `json`."""

_SUSPECT = re.compile(rb"null|NaN|Infinity")
"""What pydantic may have written for a number that JSON does not have. An output without any of it has none."""


class InputType:
    """What a handler takes."""

    __slots__ = ("_adapter",)

    def __init__(self, annotation: Any) -> None:
        self._adapter = _adapter(annotation)
        _describable(self.schema)

    def schema(self) -> dict[str, Any]:
        return {"$schema": DIALECT, **self._adapter.json_schema(mode="validation")}

    def parse(self, data: bytes) -> Any:
        """Raises InvalidInput. What else an author's validators raise is passed on."""
        try:
            value = self._adapter.validate_json(data)
        except ValidationError as error:
            found = faults(error, _as_found(data))
        else:
            if not _has_constants(data):
                return value
            found = [Fault("", "Invalid JSON: NaN and Infinity are not JSON numbers")]
        # Outside of the handler's `except`, so that pydantic's report, which quotes the values, is not chained.
        raise InvalidInput(found)


class OutputType:
    """What a handler returns."""

    __slots__ = ("_adapter", "_serializer")

    def __init__(self, annotation: Any) -> None:
        self._adapter = _adapter(annotation)
        _describable(self.schema)
        # The adapter's own serializer turns NaN into null everywhere; this one keeps it, at least in `to_python`.
        self._serializer = SchemaSerializer(self._adapter.core_schema, CoreConfig(ser_json_inf_nan="constants"))

    def schema(self) -> dict[str, Any]:
        return {"$schema": DIALECT, **self._adapter.json_schema(mode="serialization")}

    def render(self, value: Any) -> bytes:
        """Compact JSON, UTF-8. Raises InvalidOutput. What else an author's validators raise is passed on."""
        return self._written(self._fitting(value))

    def _fitting(self, value: Any) -> Any:
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            found = faults(error, value)
        raise InvalidOutput(found)

    def _written(self, value: Any) -> bytes:
        try:
            written = self._serializer.to_json(value, by_alias=True, warnings="error")
            if _SUSPECT.search(written):
                _encode(self._serializer.to_python(value, mode="json", by_alias=True))
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            found = _unwritable(error)
        else:
            return written
        raise InvalidOutput(found)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError) as error:
        raise DefinitionError(_first_line(error)) from error


def _describable(schema: Callable[[], dict[str, Any]]) -> None:
    try:
        described = schema()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise DefinitionError(_first_line(error)) from error
    try:
        _encode(described)
    except (ValueError, TypeError) as error:
        raise DefinitionError(f"its JSON Schema is not JSON: {error}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _as_found(data: bytes) -> Any:
    try:
        return from_json(data)
    except ValueError:
        return None


def _has_constants(data: bytes) -> bool:
    """Pydantic reads NaN and Infinity as numbers. The words may stand in a string, too: only then is it read twice."""
    if b"NaN" not in data and b"Infinity" not in data:
        return False
    try:
        from_json(data, allow_inf_nan=False)
    except ValueError:
        return True
    return False


def _unwritable(error: Exception) -> list[Fault]:
    """Why a value was not rendered, from words that pydantic and `json` wrote; theirs may go on to quote the value."""
    words = str(error)
    misfits = [Fault("", f"field `{field}` should be `{kind}`") for kind, field in _MISFIT.findall(words)]
    reasons = (reason for sign, reason in _REASONS.items() if sign in words)
    return misfits or [Fault("", next(reasons, "A value does not fit the return type, or cannot be written as JSON"))]
