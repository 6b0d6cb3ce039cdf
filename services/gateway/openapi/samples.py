"""An example of what a JSON Schema describes, for people to start from. Pure.

The schema's own example or default wherever it has one; else the simplest thing that looks right. What is made need not
fit every constraint (a pattern, say): whoever shows it checks it first.
"""

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 8

_TEXTS = {
    "date-time": "2026-01-31T09:00:00Z",
    "date": "2026-01-31",
    "time": "09:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}

Schema = Mapping[str, Any]


def sample(schema: Any, root: Schema | None = None, depth: int = 0) -> Any:
    """root: what references in `schema` point into; itself, unless it is a part of something."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return None
    root = schema if root is None else root
    for keyword in ("examples", "enum"):
        if schema.get(keyword):
            return schema[keyword][0]
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if "$ref" in schema:
        return sample(_pointed(root, schema["$ref"]), root, depth + 1)
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return sample(schema[keyword][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Schema, root: Schema, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else None)
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties, wanted = schema.get("properties", {}), schema.get("required", ())
            return {name: sample(properties.get(name), root, depth + 1) for name in wanted}
        case "array":
            return [sample(schema.get("items"), root, depth + 1)] * max(1, schema.get("minItems", 1))
        case "string":
            text = _TEXTS.get(schema.get("format", ""), "text").ljust(schema.get("minLength", 0), ".")
            return text[: schema.get("maxLength")]
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return True
    return None


def _pointed(root: Schema, reference: str) -> Any:
    """What a local reference points to, or None for any other."""
    if not reference.startswith("#"):
        return None
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
