"""The two ends of a handler as types: JSON in, JSON out, and the JSON Schema of each.

Made by `handlers` at decoration, where a type that pydantic cannot read or describe becomes a `DefinitionError`.
Parsing and rendering happen where the handler runs. Inputs are read in pydantic's default, lax mode: the gateway has
already held them against the schema, which calls 5.0 an integer where strict mode would refuse it after the 202.
"""

import json
import re
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
        # The adapter's own serializer writes null for NaN. This one keeps it, so that the encoder can refuse it.
        self._serializer = SchemaSerializer(self._adapter.core_schema, CoreConfig(ser_json_inf_nan="constants"))

    def schema(self) -> dict[str, Any]:
        return {"$schema": DIALECT, **self._adapter.json_schema(mode="serialization")}

    def render(self, value: Any) -> bytes:
        """Compact JSON, UTF-8. Raises InvalidOutput. What else an author's validators raise is passed on."""
        try:
            fitting = self._adapter.validate_python(value)
            plain = self._serializer.to_python(fitting, mode="json", by_alias=True, warnings="error")
            return _encode(plain).encode()
        except ValidationError as error:
            found = faults(error, value)
        except PydanticSerializationError as error:
            found = _misfits(str(error))
        except (ValueError, TypeError, RecursionError) as error:
            found = [Fault("", _unsayable(error))]
        raise InvalidOutput(found)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError) as error:
        raise DefinitionError(_first_line(error)) from error


def _describable(schema: Any) -> None:
    try:
        schema()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise DefinitionError(_first_line(error)) from error


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


def _misfits(warnings: str) -> list[Fault]:
    found = [Fault("", f"field `{field}` should be `{kind}`") for kind, field in _MISFIT.findall(warnings)]
    return found or [Fault("", "A value does not fit the handler's return type, or cannot be written as JSON")]


def _unsayable(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "Text is not valid Unicode"
    words = str(error)
    if isinstance(error, RecursionError) or "ircular" in words or "depth" in words:
        return "The value contains itself, or is nested too deeply"
    if "float" in words:
        return "NaN and Infinity cannot be written as JSON"
    return "A value cannot be written as JSON"
