"""Writing a reducer: what can be registered, what it reads and in which order, and what is refused with which words."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from sluice import AttemptOver, Counts, DefinitionError, Handlers, Item, JobContext, Outputs, UnfitOutput
from sluice.handlers import BUILT_IN
from sluice.outputs import RawOutput
from sluice.reducers import built_in
from sluice.testing import FAILED, reduce, run


@dataclass
class Words:
    count: int


@dataclass
class Total:
    words: int
    missing: int


class Options(BaseModel):
    least: int = 0


handlers = Handlers(queue="words")


@handlers.on("words.count")
async def count(input: str) -> Words:
    return Words(len(input.split()))


@handlers.reduce("words.total", timeout=7, version="2")
async def total(outputs: Outputs[Words]) -> Total:
    """Adds up the words."""
    found = 0
    async for words in outputs:
        found += words.count
    return Total(words=found, missing=outputs.counts.total - len(outputs))


@handlers.reduce("words.places", run_in="thread")
def places(outputs: Outputs[Words], options: Options, job: JobContext) -> list[tuple[int, str, int]]:
    found = [(item.index, item.id, item.output.count) for item in outputs.items()]
    job.progress(len(found), len(outputs))
    return [each for each in found if each[2] >= options.least]


@handlers.reduce("words.twice", run_in="process")
def twice(outputs: Outputs[Words], job: JobContext) -> list[float]:
    """Two passes, the second side by side with a third."""
    mean = sum(words.count for words in outputs) / len(outputs)
    return [abs(one.count - mean) + other.count for one, other in zip(outputs, outputs, strict=True)]


@handlers.reduce("words.blocking")
async def blocking(outputs: Outputs[Words]) -> int:
    return sum(words.count for words in outputs)


@handlers.reduce("words.first")
async def first(outputs: Outputs[Words]) -> int:
    async for words in outputs:
        return words.count
    return 0


def given(*counts: int) -> list[Words]:
    return [Words(count) for count in counts]


def test_a_definition_says_that_it_reduces() -> None:
    definition = handlers["words.total"]
    assert (definition.reduces, definition.queue, definition.timeout_seconds) == (True, "words", 7)
    assert (definition.version, definition.cache_for_seconds, definition.description) == ("2", 0, "Adds up the words.")
    assert not definition.takes_input
    assert definition.input_schema()["additionalProperties"] is False
    assert "least" in handlers["words.places"].input_schema()["properties"]
    assert not handlers["words.count"].reduces


async def test_outputs_come_in_order_and_those_that_failed_are_counted() -> None:
    assert (await reduce("words.total", [], handlers=handlers)).output == {"words": 0, "missing": 0}
    outcome = await reduce("words.total", [*given(2), FAILED, *given(3)], handlers=handlers)
    assert outcome.output == {"words": 5, "missing": 1}
    places = await reduce("words.places", [FAILED, *given(4, 1, 5)], {"least": 3}, handlers=handlers)
    assert places.output == [[1, "job_test_1", 4], [3, "job_test_3", 5]]
    assert places.progress[-1].done == 3


@pytest.mark.parametrize("name", ["words.total", "words.twice"])
async def test_any_number_of_outputs_is_read_whole(name: str) -> None:
    outcome = await reduce(name, given(*range(250)), handlers=handlers)
    expected = {"words": sum(range(250)), "missing": 0}
    assert outcome.output == (expected if name == "words.total" else [abs(n - 124.5) + n for n in range(250)])


async def test_a_pass_that_ends_early_is_fine() -> None:
    assert (await reduce("words.first", given(*range(7, 300)), handlers=handlers)).output == 7


async def test_an_output_of_another_type_names_its_item() -> None:
    with pytest.raises(UnfitOutput, match=r"^The output of item 2 is not what the reducer takes: /count: .*integer"):
        await reduce("words.total", [*given(1), FAILED, {"count": "many"}, {}], handlers=handlers)


async def test_blocking_the_loop_is_refused_with_the_remedy() -> None:
    with pytest.raises(RuntimeError, match="async for"):
        await reduce("words.blocking", given(1), handlers=handlers)


async def test_each_kind_has_its_own_test_helper() -> None:
    with pytest.raises(LookupError, match="`reduce`"):
        await run("words.total", {}, handlers=handlers)
    with pytest.raises(LookupError, match="`run`"):
        await reduce("words.count", [], handlers=handlers)
    with pytest.raises(ValueError, match="outputs of a batch"):
        handlers["words.total"].call({}, None)


class Scripted:
    """A source that is asked, and answers when it is told to."""

    def __init__(self, total: int) -> None:
        self.counts = Counts(total, total)
        self.asked: list[tuple[int, Future[Any]]] = []

    def ask(self, start: int, /) -> Future[Any]:
        coming: Future[Any] = Future()
        self.asked.append((start, coming))
        return coming

    def answer(self, *indexes: int) -> None:
        _, coming = self.asked[-1]
        coming.set_result([RawOutput(index, f"job_{index}", b"%d" % index) for index in indexes])


async def test_one_page_is_asked_for_ahead_and_no_more() -> None:
    source = Scripted(5)
    reading = aiter(Outputs[int](source, int).items())
    step = asyncio.ensure_future(anext(reading))
    await asyncio.sleep(0)
    assert [start for start, _ in source.asked] == [0]
    source.answer(0, 1)
    assert await step == Item(0, "job_0", 0)
    assert [start for start, _ in source.asked] == [0, 2]
    assert (await anext(reading)).output == 1
    source.answer(2, 3, 4)
    assert [item.output async for item in reading] == [2, 3, 4]
    assert len(source.asked) == 2


async def test_a_thread_that_waits_hears_that_its_attempt_is_over() -> None:
    source, begun, raised = Scripted(1), threading.Event(), []

    def read() -> None:
        begun.set()
        try:
            list(Outputs[int](source, int))
        except AttemptOver as error:
            raised.append(error)

    reading = asyncio.create_task(asyncio.to_thread(read))
    await asyncio.to_thread(begun.wait, 10)
    while not source.asked:
        await asyncio.sleep(0)
    source.asked[0][1].set_exception(AttemptOver())
    await reading
    assert len(raised) == 1


def test_what_is_asked_ahead_is_let_go_of_by_a_pass_that_ends() -> None:
    source = Scripted(2)
    source_ask = source.ask

    def answered(start: int, /) -> Future[Any]:
        coming = source_ask(start)
        if start == 0:
            source.answer(0)
        return coming

    source.ask = answered  # type: ignore[method-assign]
    for output in Outputs[int](source, int):
        assert output == 0
        break
    assert source.asked[1][1].cancelled()


async def plain(outputs: list[int]) -> None: ...


async def bare(outputs: Outputs) -> None: ...  # type: ignore[type-arg]


async def late(input: int, outputs: Outputs[int]) -> None: ...


async def many(outputs: Outputs[int], one: Options, two: Options) -> None: ...


async def backwards(outputs: Outputs[int], job: JobContext, options: Options) -> None: ...


async def listed(outputs: Outputs[int], options: list[int]) -> None: ...


async def untyped(outputs: Outputs[int], options) -> None: ...  # type: ignore[no-untyped-def]


def plainly(outputs: Outputs[int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (plain, "must be annotated with Outputs"),
        (bare, "does not say of what"),
        (late, "must be annotated with Outputs"),
        (many, "other parameters than the outputs"),
        (backwards, "other parameters than the outputs"),
        (listed, "options of a reducer are an object"),
        (untyped, "`options` has no type annotation"),
        (plainly, "would block the loop"),
    ],
)
def test_what_is_no_reducer_is_refused_with_the_reason(function: Callable[..., object], words: str) -> None:
    with pytest.raises(DefinitionError, match=rf"'words\.bad' \(.*\): .*{words}"):
        Handlers().reduce("words.bad")(function)


def test_an_option_cannot_have_the_name_that_names_the_reducer() -> None:
    class Named(BaseModel):
        handler: str

    def bad(outputs: Outputs[int], options: Any) -> None: ...

    bad.__annotations__["options"] = Named
    with pytest.raises(DefinitionError, match="cannot be called `handler`"):
        Handlers().reduce("words.bad", run_in="thread")(bad)


def test_a_handler_of_jobs_takes_no_outputs() -> None:
    async def wrong(input: Outputs[int]) -> None: ...

    with pytest.raises(DefinitionError, match=r"@handlers\.reduce"):
        Handlers().on("words.bad")(wrong)
    with pytest.raises(DefinitionError, match=r"@handlers\.reduce\("):
        Handlers().reduce(total)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_names_of_the_built_in_reducers_are_taken(name: str) -> None:
    with pytest.raises(DefinitionError, match="built-in reducer"):
        Handlers().on(name)(count)
    with pytest.raises(DefinitionError, match="built-in reducer"):
        Handlers().reduce(name)(total)


def test_the_names_that_are_taken_are_those_that_there_are() -> None:
    assert set(built_in()) == BUILT_IN
    assert {definition.queue for definition in built_in().values()} == {""}
