"""A refused input is described without being quoted: its faults may be logged and shown."""

import ipaddress
import json
import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import Base64Bytes, BaseModel, BeforeValidator, Field, HttpUrl, Json, model_validator

from sluice import InvalidInput
from sluice.errors import Fault
from sluice.schema import InputType
from tests.unit.sdk.drawings import CANARY, Choosy, Circle, Colour, Drawing, Square


class Ordered(BaseModel):
    low: int
    words: str

    @model_validator(mode="after")
    def numbered(self) -> "Ordered":
        int(self.words.split()[1])
        return self


Lookup = Annotated[str, BeforeValidator(lambda value: (_ for _ in ()).throw(ValueError(f"no entry {value.upper()}")))]

QUOTING: list[tuple[Any, object]] = [
    (int, CANARY),
    (float, CANARY),
    (bool, CANARY),
    (uuid.UUID, CANARY),
    (date, CANARY),
    (datetime, CANARY),
    (Decimal, CANARY),
    (HttpUrl, CANARY),
    (HttpUrl, f"ftp://{CANARY}"),
    (HttpUrl, f"https://{CANARY} [/"),
    (ipaddress.IPv4Address, CANARY),
    (Literal["a", "b"], CANARY),
    (Colour, CANARY),
    (Base64Bytes, CANARY),
    (Json[int], CANARY),
    (Json[int], f'"{CANARY}"'),
    (Annotated[str, Field(max_length=2)], CANARY),
    (Annotated[str, Field(pattern="^a$")], CANARY),
    (Annotated[Circle | Square, Field(discriminator="kind")], {"kind": CANARY}),
    (Choosy, {"colour": CANARY}),
    (list[Choosy], [{"colour": CANARY}]),
    (Ordered, {"low": 1, "words": f"a {CANARY} b"}),
    (Drawing, CANARY),
]


@pytest.mark.parametrize(("annotation", "data"), QUOTING)
def test_no_value_is_quoted(annotation: Any, data: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        InputType(annotation).parse(json.dumps(data).encode())
    assert CANARY not in str(refused.value)
    assert CANARY not in repr(refused.value)
    assert "hunter" not in str(refused.value)


def refused(annotation: Any, data: bytes) -> list[Fault]:
    with pytest.raises(InvalidInput) as error:
        InputType(annotation).parse(data)
    return list(error.value.faults)


@pytest.mark.parametrize("text", ["hunter2", "12345678-1234-1234-1234-12345678901z"])
def test_not_even_a_letter_of_it(text: str) -> None:
    assert refused(uuid.UUID, json.dumps(text).encode()) == [Fault("", "Input should be a valid UUID")]


def test_not_even_in_broken_json() -> None:
    assert CANARY not in str(refused(Any, f'{{"password": {CANARY}'.encode()))


def test_an_authors_own_words_stay_but_for_the_value() -> None:
    found = refused(Choosy, b'{"colour": "mauve", "size": 1002}')

    assert found == [
        Fault("/colour", "colour … is not in the palette"),
        Fault("/size", "… is even"),
    ]


def test_an_authors_words_are_kept_back_when_the_value_is_too_large_to_look_through() -> None:
    class Large(BaseModel):
        items: list[int]

        @model_validator(mode="after")
        def short(self) -> "Large":
            raise ValueError(f"{self.items[-1]} came last")

    assert refused(Large, json.dumps({"items": list(range(20_000))}).encode()) == [
        Fault("", "The value does not satisfy the handler's own check")
    ]
