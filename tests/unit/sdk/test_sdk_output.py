"""What a handler returns, as JSON out: rendered by its type, or refused without being quoted."""

import json
import math
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import jsonschema_rs
import pytest
from hypothesis import given
from pydantic import BaseModel, Field, JsonValue, PlainSerializer, field_serializer, field_validator

from sluice import InvalidOutput
from sluice.schema import InputType, OutputType
from tests.unit.sdk.drawings import CANARY, Choosy, Circle, Colour, Drawing, Point, Row, Size, anything, drawings


class Rendered(BaseModel):
    count: int = Field(serialization_alias="total")
    anything: Any = None


class Encoded(BaseModel):
    secret: Annotated[str, PlainSerializer(lambda value: f"<{value}>", return_type=str)]


class Failing(BaseModel):
    value: str

    @field_serializer("value")
    def never(self, value: str) -> str:
        raise KeyError(value)


class Pair(NamedTuple):
    left: int
    right: str


@pytest.mark.parametrize(
    ("annotation", "value", "rendered"),
    [
        (Rendered, Rendered(count=1), b'{"total":1,"anything":null}'),
        (Rendered, {"count": 1}, b'{"total":1,"anything":null}'),
        (Encoded, Encoded(secret="s"), b'{"secret":"<s>"}'),
        (Point, Point(1.5, names=["é"]), '{"x":1.5,"y":0.0,"names":["é"]}'.encode()),
        (Row, {"key": "a", "values": [1.0]}, b'{"key":"a","values":[1.0]}'),
        (Pair, Pair(1, "a"), b'[1,"a"]'),
        (None, None, b"null"),
        (dict[int, set[int]], {1: {2}}, b'{"1":[2]}'),
        (datetime, datetime(2024, 2, 29, 12), b'"2024-02-29T12:00:00"'),  # noqa: DTZ001 what an author may return
        (Colour, Colour.RED, b'"red"'),
        (int, 2**70, str(2**70).encode()),
        (JsonValue, {"a": [1, 2.5, None, True, "x"]}, b'{"a":[1,2.5,null,true,"x"]}'),
    ],
)
def test_output_is_compact_json(annotation: Any, value: object, rendered: bytes) -> None:
    assert OutputType(annotation).render(value) == rendered


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("annotation", "build"),
    [
        (float, lambda number: number),
        (Any, lambda number: number),
        (JsonValue, lambda number: {"a": [number]}),
        (list[float], lambda number: [1.0, number]),
        (dict[str, Any], lambda number: {"a": {"b": (number,)}}),
        (Point, Point),
        (list[Point], lambda number: [Point(1.0, number)]),
        (Rendered, lambda number: Rendered(count=1, anything={"deep": [number]})),
        (Circle | None, lambda number: Circle.model_construct(kind="circle", radius=number)),
    ],
)
def test_output_has_no_nan_and_no_infinity(annotation: Any, build: Any, number: float) -> None:
    with pytest.raises(InvalidOutput, match="The output is invalid: NaN and Infinity cannot be written as JSON"):
        OutputType(annotation).render(build(number))


knot: list[Any] = []
knot.append(knot)
deep: list[Any] = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (Rendered, {"total": CANARY}, "/count: Field required"),
        (int, CANARY, "valid integer"),
        (Size, {"width": 1, "height": CANARY}, "/height: Input should be a valid integer"),
        (Point, Point(CANARY), "field `x` should be `float`"),  # type: ignore[arg-type]
        (Size, Size.model_construct(width=CANARY, height=1), "field `width` should be `int`"),
        (Choosy, {"colour": CANARY}, "colour … is not in the palette"),
        (Failing, Failing(value=CANARY), "cannot be written as JSON"),
        (Any, {CANARY: object()}, "of a type that JSON does not have"),
        (Any, CANARY.encode() + b"\xff", "Text is not valid Unicode"),
        (str, CANARY + "\ud800", r"Text is not valid Unicode"),
        (Any, knot, "contains itself"),
        (Any, deep, "nested too deeply"),
    ],
)
def test_output_that_does_not_fit(annotation: Any, value: object, words: str) -> None:
    with pytest.raises(InvalidOutput, match=words) as refused:
        OutputType(annotation).render(value)
    assert CANARY not in str(refused.value)
    assert refused.value.__context__ is None


class Buggy(BaseModel):
    value: int

    @field_validator("value")
    @classmethod
    def broken(cls, value: int) -> int:
        raise KeyError(value)


def test_a_bug_in_an_authors_validator_is_not_called_a_bad_value() -> None:
    with pytest.raises(KeyError):
        OutputType(Buggy).render({"value": 1})
    with pytest.raises(KeyError):
        InputType(Buggy).parse(b'{"value": 1}')


def test_the_schema_is_of_what_is_rendered() -> None:
    assert set(OutputType(Rendered).schema()["properties"]) == {"total", "anything"}
    assert OutputType(Encoded).schema()["properties"]["secret"]["type"] == "string"


output_schema = jsonschema_rs.validator_for(OutputType(Drawing).schema())


@given(drawings)
def test_rendered_output_fits_its_schema(value: dict[str, Any]) -> None:
    rendered = OutputType(Drawing).render(Drawing.model_validate(value))
    assert output_schema.is_valid(json.loads(rendered))


@given(anything)
def test_any_json_value_comes_back_as_it_went_in(value: object) -> None:
    parsed = InputType(JsonValue).parse(json.dumps(value).encode())
    assert json.loads(OutputType(JsonValue).render(parsed)) == value
