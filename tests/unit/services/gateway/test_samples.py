"""Examples of what schemas describe: their own where they have one, else the simplest that fits."""

from typing import Any

import jsonschema_rs
import pytest

from services.gateway.openapi.samples import sample


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 6}, "text.."),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date-time"}, "2026-01-31T09:00:00Z"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 0}, 0),
        ({"type": "number", "exclusiveMinimum": 2}, 3),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["integer", "null"]}, 1),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 7}, 7),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "string", "examples": ["e", "f"], "default": "d"}, "e"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 1}),
        (
            {"$defs": {"A": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]},
            {"a": 1},
        ),
        ({"$defs": {"a/b": {"const": 2}}, "$ref": "#/$defs/a~1b"}, 2),
    ],
)
def test_a_sample_is_simple_and_fits(schema: dict[str, Any], value: Any) -> None:
    assert sample(schema) == value
    assert jsonschema_rs.is_valid(schema, value)


@pytest.mark.parametrize("schema", [{}, True, None, {"$ref": "https://example.com/x"}, {"$ref": "#/nowhere/at/all"}])
def test_what_says_nothing_gives_nothing(schema: Any) -> None:
    assert sample(schema) is None


def test_a_schema_without_an_end_is_left_at_some_depth() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    found, depth = sample(node), 0
    while found is not None:
        found, depth = found["next"], depth + 1
    assert 1 < depth < 20
