"""JSON in: what is parsed, what is refused, where the fault is, and that the schema at the gate says the same."""

import json
from datetime import date
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given

from sluice import InvalidInput
from sluice.errors import MAX_FAULTS, Fault
from sluice.schema import InputType
from tests.unit.sdk.drawings import Drawing, Point, Row, Size, anything, drawings, near_drawings


def faults(annotation: Any, data: bytes | object) -> list[Fault]:
    with pytest.raises(InvalidInput) as refused:
        InputType(annotation).parse(data if isinstance(data, bytes) else json.dumps(data).encode())
    return list(refused.value.faults)


@pytest.mark.parametrize(
    ("annotation", "data", "value"),
    [
        (Size, b'{"width": 1, "height": 2}', Size(width=1, height=2)),
        (Point, b'{"x": 1}', Point(1.0)),
        (Row, b'{"key": "a", "values": [1]}', {"key": "a", "values": [1.0]}),
        (list[int], b"[1, 2]", [1, 2]),
        (dict[str, date], b'{"a": "2024-02-29"}', {"a": date(2024, 2, 29)}),
        (None, b"null", None),
        (str, '"NaN, Infinity, é"'.encode(), "NaN, Infinity, é"),
        (Any, b'{"a": [1, "b", null]}', {"a": [1, "b", None]}),
        (int, b"5.0", 5),
    ],
)
def test_what_fits_is_parsed(annotation: Any, data: bytes, value: object) -> None:
    assert InputType(annotation).parse(data) == value


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"size": {"width": 1, "height": 1}}, "/title"),
        ({"title": "t", "size": {"width": 1}}, "/size/height"),
        ({"title": "t", "size": {"width": 1, "height": 0}}, "/size/height"),
        ({"title": "t", "size": []}, "/size"),
        ({"title": "t", "size": {"width": 1, "height": 1}, "weights": {"a/b~c": "x"}}, "/weights/a~1b~0c"),
        ({"title": "t", "size": {"width": 1, "height": 1}, "note": 5}, "/note"),
        (
            {"title": "t", "size": {"width": 1, "height": 1}, "shapes": [{"kind": "circle", "radius": 0}]},
            "/shapes/0/radius",
        ),
        ({"title": "t", "size": {"width": 1, "height": 1}, "shapes": [{"kind": "square"}]}, "/shapes/0/side"),
        ({"title": "t", "size": {"width": 1, "height": 1}, "shapes": [{"kind": "oval"}]}, "/shapes/0"),
        ({"title": "t", "size": {"width": 1, "height": 1}, "pageNumber": [1, "x"]}, "/pageNumber/1"),
        ([], ""),
    ],
)
def test_pointers_lead_to_the_fault(data: object, pointer: str) -> None:
    assert pointer in {fault.pointer for fault in faults(Drawing, data)}


def test_branches_of_a_union_are_no_steps_of_a_pointer() -> None:
    found = faults(list[int | Size | list[bool]], [{"width": 1, "height": "x"}, ["x"]])

    assert {fault.pointer for fault in found} == {"/0", "/0/height", "/1", "/1/0"}


def test_every_fault_is_listed_up_to_a_bound() -> None:
    found = faults(list[int], ["x"] * 1_000)

    assert len(found) == MAX_FAULTS + 1
    assert found[-1] == Fault("", f"and {1_000 - MAX_FAULTS} more")


def test_the_message_names_places_and_reasons() -> None:
    with pytest.raises(InvalidInput) as refused:
        InputType(Size).parse(b'{"width": 0}')
    assert str(refused.value) == (
        "The input is invalid: /width: Input should be greater than or equal to 1; /height: Field required"
    )
    assert refused.value.__context__ is None  # pydantic's report quotes values


@pytest.mark.parametrize(
    "data", [b"", b"{", b"{'a': 1}", b"[1,]", b"\xff", b'"\\ud800"', b"1 2", b"[" * 500 + b"]" * 500]
)
def test_what_is_not_json(data: bytes) -> None:
    (fault,) = faults(Any, data)
    assert fault.pointer == ""
    assert fault.reason.startswith("Invalid JSON")


@pytest.mark.parametrize("data", [b"NaN", b"[Infinity]", b'{"x": -Infinity}', b'["NaN", NaN]'])
def test_numbers_that_json_does_not_have(data: bytes) -> None:
    assert faults(Any, data) == [Fault("", "Invalid JSON: NaN and Infinity are not JSON numbers")]


def accepts(kind: InputType, value: object) -> bool:
    try:
        kind.parse(json.dumps(value).encode())
    except InvalidInput:
        return False
    return True


drawing = InputType(Drawing)
drawing_schema = jsonschema_rs.validator_for(drawing.schema())


@given(drawings)
def test_what_the_types_mean_passes_both_the_schema_and_the_parser(value: object) -> None:
    assert drawing_schema.is_valid(value)
    assert accepts(drawing, value)


@given(near_drawings | anything)
def test_what_passes_the_gate_is_parsed(value: object) -> None:
    if drawing_schema.is_valid(value):
        assert accepts(drawing, value)


@given(near_drawings)
def test_pointers_of_faults_resolve(value: Any) -> None:
    try:
        drawing.parse(json.dumps(value).encode())
    except InvalidInput as refused:
        for fault in refused.faults:
            assert_resolves(value, fault)


def assert_resolves(value: Any, fault: Fault) -> None:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in fault.pointer.split("/")[1:]]
    if fault.reason == "Field required":
        *steps, absent = steps
    else:
        absent = None
    for step in steps:
        value = value[int(step)] if isinstance(value, list) else value[step]
    assert absent is None or absent not in value
