"""A whole author's module under `from __future__ import annotations`: every annotation in it is a string."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from sluice import Handlers, JobContext
from sluice.testing import run

handlers = Handlers()


class Leaf(BaseModel):
    weight: int
    below: list[Leaf] = []


@dataclass
class Tree:
    root: Leaf
    name: Annotated[str, Field(min_length=1)] = "tree"


class Weight(TypedDict):
    total: int


def weigh(leaf: Leaf) -> int:
    return leaf.weight + sum(map(weigh, leaf.below))


@handlers.on("tree.weigh", run_in="thread")
def tree_weight(input: Tree, job: JobContext) -> Weight:
    job.progress(1)
    return {"total": weigh(input.root)}


async def test_types_are_found_in_the_authors_module() -> None:
    outcome = await run("tree.weigh", {"root": {"weight": 1, "below": [{"weight": 2}]}}, handlers=handlers)

    assert outcome.output == {"total": 3}
    assert handlers["tree.weigh"].takes_context
    assert handlers["tree.weigh"].input_schema()["properties"]["name"]["minLength"] == 1
