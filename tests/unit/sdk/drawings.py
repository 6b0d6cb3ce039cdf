"""Types an author might declare, and values that fit them, for the tests of `sluice.schema`."""

import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

CANARY = "hunter2"
"""A secret that must turn up in no message."""


class Size(BaseModel):
    width: int = Field(ge=1, le=2_048)
    height: int = Field(ge=1, le=2_048)


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float = Field(gt=0)


class Square(BaseModel):
    kind: Literal["square"]
    side: float = Field(gt=0)


class Drawing(BaseModel):
    title: str = Field(max_length=20)
    size: Size
    shapes: list[Annotated[Circle | Square, Field(discriminator="kind")]] = []
    weights: dict[str, int] = {}
    note: str | None = None
    style: Literal["ink", "chalk"] = "ink"
    page: int | list[int] = Field(1, alias="pageNumber")


@dataclass
class Point:
    x: float
    y: float = 0.0
    names: list[str] = field(default_factory=list)


class Row(TypedDict):
    key: str
    values: list[float]


class Colour(enum.Enum):
    RED = "red"


class Choosy(BaseModel):
    colour: str
    size: int = 1

    @field_validator("colour")
    @classmethod
    def known(cls, value: str) -> str:
        raise ValueError(f"colour {value!r} is not in the palette")

    @field_validator("size")
    @classmethod
    def odd(cls, value: int) -> int:
        assert value % 2, f"{value} is even"
        return value


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 3_000) | st.floats(-10, 3_000) | st.text(max_size=25),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
sides = st.integers(1, 2_048)
sizes = st.fixed_dictionaries({"width": sides, "height": sides})
lengths = st.floats(0, 1e6, exclude_min=True) | st.integers(1, 1_000)
shapes = st.fixed_dictionaries({"kind": st.just("circle"), "radius": lengths}) | st.fixed_dictionaries(
    {"kind": st.just("square"), "side": lengths}
)
fields: dict[str, st.SearchStrategy[Any]] = {"title": st.text(max_size=20), "size": sizes}
optional: dict[str, st.SearchStrategy[Any]] = {
    "shapes": st.lists(shapes, max_size=3),
    "weights": st.dictionaries(st.text(max_size=5), st.integers(-1_000, 1_000), max_size=3),
    "note": st.none() | st.text(),
    "style": st.sampled_from(["ink", "chalk"]),
    "pageNumber": st.integers(0, 100) | st.lists(st.integers(0, 100), max_size=3),
}
drawings = st.fixed_dictionaries(fields, optional=optional)
near_drawings = st.fixed_dictionaries(
    {name: strategy | anything for name, strategy in fields.items()},
    optional={name: strategy | anything for name, strategy in optional.items()},
)
