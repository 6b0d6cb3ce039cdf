"""Adds to the description what workers have announced. Pure.

Each handler's input and output become components, and `JobRequest` says which input goes with which name. References
inside a handler's schema point into that schema; here they are made to point to where it stands now.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.gateway.openapi.parts import Tree
from services.gateway.openapi.samples import sample
from shared.models.handler import HandlerEntry

MAX_DESCRIBED = 500
"""Beyond, the document would be of no use to anyone; `GET /v1/handlers` has them all."""

_DATA = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords below which there are no schemas but values."""
_NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
"""Keywords below which there are names that anybody chose, with schemas."""
_ELSEWHERE = frozenset({"$anchor", "$dynamicAnchor", "$dynamicRef", "$id"})
"""Keywords that make a schema address itself in ways that do not survive a move."""

Fits = Callable[[str, Any], bool]


def described(document: Tree, entries: Sequence[HandlerEntry], fits: Fits) -> Tree:
    """The document with `entries` in it. `document` stays as it is.

    fits: whether a handler (by name) would take an input.
    """
    if not 0 < len(entries) <= MAX_DESCRIBED:
        return document
    found = copy.deepcopy(document)
    schemas = found["components"]["schemas"]
    for entry in entries:
        for side, schema in (("input", entry.input_schema), ("output", entry.output_schema)):
            schemas[_name(entry, side)] = _moved(schema, _name(entry, side))
    alone = [entry for entry in entries if not entry.reduces]
    if not alone:
        return found
    schemas["JobRequest"]["oneOf"] = [_choice(entry) for entry in alone]
    found["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"] = {
        entry.name: example for entry in alone if (example := _example(entry, fits)) is not None
    }
    return found


def _name(entry: HandlerEntry, side: str) -> str:
    return f"{entry.name}.{side}"


def _choice(entry: HandlerEntry) -> Tree:
    reference = {"$ref": f"#/components/schemas/{_name(entry, 'input')}"}
    return {"title": entry.name, "properties": {"handler": {"const": entry.name}, "input": reference}}


def _example(entry: HandlerEntry, fits: Fits) -> Tree | None:
    value = sample(entry.input_schema)
    if not fits(entry.name, value):
        return None
    summary = f"{entry.name}: {entry.description}".rstrip(": ").splitlines()[0]
    return {"summary": summary, "value": {"handler": entry.name, "input": value}}


def _moved(schema: Mapping[str, Any], name: str) -> Tree:
    if _addresses_itself(schema):
        return {"description": "Its schema is too much of its own to stand here; see `GET /v1/handlers/{name}`."}
    return {"title": name, **_rebased(schema, f"#/components/schemas/{name}")}


def _addresses_itself(schema: Any, *, names: bool = False) -> bool:
    """names: the keys are names that anybody chose, and no keywords."""
    if isinstance(schema, list):
        return any(_addresses_itself(each) for each in schema)
    if not isinstance(schema, Mapping):
        return False
    if not names and _ELSEWHERE & schema.keys():
        return True
    below = {key: value for key, value in schema.items() if names or key not in _DATA}
    return any(_addresses_itself(value, names=not names and key in _NAMED) for key, value in below.items())


def _rebased(schema: Any, base: str, *, names: bool = False) -> Any:
    if isinstance(schema, list):
        return [_rebased(each, base) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {}
    for key, value in schema.items():
        if names:
            moved[key] = _rebased(value, base)
        elif key == "$ref" and isinstance(value, str) and value.startswith("#"):
            moved[key] = base + value[1:]
        elif key in _DATA:
            moved[key] = value
        else:
            moved[key] = _rebased(value, base, names=key in _NAMED)
    return moved
