"""What can be registered as a handler, what the definition then says, and what is refused with which words."""

import math
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import FrozenInstanceError, dataclass
from datetime import UTC, datetime
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from pydantic import Field

from sluice import DefinitionError, HandlerDefinition, Handlers, InvalidInput, JobContext
from sluice.reports import ReportBuffer

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Question:
    text: str


@dataclass
class Answer:
    length: int


handlers = Handlers(queue="questions")


@handlers.on("question.answer", timeout=1.5, max_attempts=2, cache_for=60, run_in="thread", version="2024.1")
def answer(input: Question) -> Answer:
    """Measures a question.

    The rest of the docstring is for readers of the code.
    """
    return Answer(len(input.text))


@handlers.on("question.number")
async def number(input: Question, job: JobContext) -> int:
    return job.attempt


def context() -> JobContext:
    return JobContext(
        id="job_1",
        attempt=3,
        max_attempts=5,
        fence="f",
        deadline=datetime(2030, 1, 1, tzinfo=UTC),
        reporter=ReportBuffer(),
        cancelled=lambda: False,
    )


def test_a_definition_says_what_was_decided() -> None:
    definition = handlers["question.answer"]

    assert definition.function is answer
    assert (definition.name, definition.queue, definition.run_in) == ("question.answer", "questions", "thread")
    assert (definition.timeout_seconds, definition.max_attempts, definition.cache_for_seconds) == (1.5, 2, 60)
    assert (definition.version, definition.description) == ("2024.1", "Measures a question.")
    assert not definition.takes_context


def test_defaults() -> None:
    definition = handlers["question.number"]

    assert (definition.run_in, definition.version, definition.description) == ("loop", "1", "")
    assert (definition.timeout_seconds, definition.max_attempts, definition.cache_for_seconds) == (60, 5, 0)
    assert Handlers().queue == "default"


def test_handlers_iterate_in_order_of_registration() -> None:
    assert [definition.name for definition in handlers] == ["question.answer", "question.number"]
    assert len(handlers) == 2
    assert "question.answer" in handlers
    assert "question.none" not in handlers


def test_the_function_stays_what_it_was() -> None:
    assert answer(Question("four")) == Answer(4)
    assert pickle.loads(pickle.dumps(answer)) is answer


async def test_call_passes_the_context_to_those_who_take_it() -> None:
    assert handlers["question.answer"].call(Question("four"), context()) == Answer(4)
    assert await handlers["question.number"].call(Question("four"), context()) == 3


def test_a_definition_cannot_be_changed_and_hides_its_adapters() -> None:
    definition: Any = handlers["question.answer"]

    with pytest.raises(FrozenInstanceError):
        definition.queue = "other"
    assert "TypeAdapter" not in repr(definition)
    assert isinstance(definition, HandlerDefinition)


def test_schemas_name_their_dialect() -> None:
    definition = handlers["question.answer"]

    assert definition.input_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert definition.input_schema()["required"] == ["text"]
    assert definition.output_schema()["properties"]["length"]["type"] == "integer"


def test_constraints_on_a_parameter_itself_count() -> None:
    own = Handlers()
    own.on("question.limited", run_in="thread")(limited)

    assert own["question.limited"].input_schema()["maximum"] == 9
    with pytest.raises(InvalidInput):
        own["question.limited"].parse_input(b"10")


def test_a_wrapped_function_keeps_its_signature() -> None:
    def traced(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    own = Handlers()
    own.on("question.traced", run_in="thread")(traced(measure))

    assert own["question.traced"].call(Question("four"), context()) == Answer(4)


def limited(input: Annotated[int, Field(le=9)]) -> int:
    return input


def measure(input: Question) -> Answer:
    return Answer(len(input.text))


@pytest.mark.parametrize("name", ["a", "text.stats", "a-b.c_d.9", "x" * 100])
def test_good_names(name: str) -> None:
    own = Handlers()
    own.on(name, run_in="thread")(answer)
    assert name in own


@pytest.mark.parametrize("name", ["", "Text.stats", ".a", "a.", "a..b", "a b", "é", "x" * 101, "a\n", None, 7, "a/b"])
def test_bad_names(name: Any) -> None:
    with pytest.raises(DefinitionError, match="a name is 1 to 100"):
        Handlers().on(name)


def test_a_decorator_without_a_name() -> None:
    bare: Any = Handlers().on
    with pytest.raises(DefinitionError, match="a handler needs a name"):
        bare(answer)


@pytest.mark.parametrize("queue", ["ab", "images", "a-9", "a" + "b" * 40])
def test_good_queues(queue: str) -> None:
    assert Handlers(queue=queue).queue == queue


@pytest.mark.parametrize("queue", ["", "a", "Images", "9a", "a_b", "a" + "b" * 41, "ab\n", None])
def test_bad_queues(queue: Any) -> None:
    with pytest.raises(DefinitionError, match="a queue name is 2 to 41"):
        Handlers(queue=queue)


def test_a_name_is_taken_once() -> None:
    own = Handlers()
    own.on("question.answer", run_in="thread")(answer)

    with pytest.raises(DefinitionError, match=r"'question\.answer' \(.*number\): the name is taken"):
        own.on("question.answer")(number)
    assert own["question.answer"].function is answer


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 0}, "timeout is a positive"),
        ({"timeout": -1}, "timeout is a positive"),
        ({"timeout": float("inf")}, "timeout is a positive"),
        ({"timeout": float("nan")}, "timeout is a positive"),
        ({"timeout": "60"}, "timeout is a positive"),
        ({"timeout": True}, "timeout is a positive"),
        ({"timeout": 10**400}, "timeout is a positive"),
        ({"max_attempts": 10**10}, "max_attempts is a whole"),
        ({"max_attempts": 0}, "max_attempts is a whole"),
        ({"max_attempts": 1.5}, "max_attempts is a whole"),
        ({"cache_for": -1}, "cache_for is a whole"),
        ({"cache_for": 0.5}, "cache_for is a whole"),
        ({"run_in": "fork"}, "run_in is one of loop, thread, process"),
        ({"version": ""}, "version is 1 to 64"),
        ({"version": 1}, "version is 1 to 64"),
        ({"version": "a b"}, "version is 1 to 64"),
    ],
)
def test_bad_limits(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=f"'question.bad': {words}"):
        Handlers().on("question.bad", **options)


def test_all_bad_limits_are_named_at_once() -> None:
    with pytest.raises(DefinitionError, match=r"timeout.*max_attempts.*cache_for"):
        Handlers().on("question.bad", timeout=0, max_attempts=0, cache_for=-1)


def no_annotation(input) -> int: ...  # type: ignore[no-untyped-def,empty-body]
def no_return(input: int): ...  # type: ignore[no-untyped-def]
def nothing_taken() -> int: ...  # type: ignore[empty-body]
def too_much_taken(input: int, job: JobContext, more: int) -> int: ...  # type: ignore[empty-body]
def keyword_only(*, input: int) -> int: ...  # type: ignore[empty-body]
def any_number(*input: int) -> int: ...  # type: ignore[empty-body]
def no_context(input: int, job: str) -> int: ...  # type: ignore[empty-body]
def context_first(job: JobContext) -> int: ...  # type: ignore[empty-body]
def for_the_checker_only(input: "Decimal") -> int: ...  # type: ignore[empty-body]
def unreadable(input: int) -> int: ...  # type: ignore[empty-body]
def not_json(input: int) -> Iterator[int]:
    yield input


unreadable.__annotations__["input"] = "int +"


async def not_json_either(input: int) -> AsyncIterator[int]:
    yield input


class Opaque: ...


class Old(TypedDict):
    a: int


def old(input: Old) -> int: ...  # type: ignore[empty-body]
def opaque(input: Opaque) -> int: ...  # type: ignore[empty-body]
def opaque_output(input: int) -> Opaque: ...  # type: ignore[empty-body]
def not_written(input: Annotated[float, Field(json_schema_extra={"example": math.nan})]) -> int: ...  # type: ignore[empty-body]
def not_describable(input: Callable[[], int]) -> int: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_annotation, "`input` has no type annotation"),
        (no_return, "the return value has no type annotation"),
        (nothing_taken, "other parameters than the input"),
        (too_much_taken, "other parameters than the input"),
        (keyword_only, "other parameters than the input"),
        (any_number, "other parameters than the input"),
        (no_context, "`job` must be annotated with JobContext"),
        (context_first, "the input comes first"),
        (for_the_checker_only, "names `Decimal`, which the module does not define"),
        (unreadable, "an annotation cannot be read"),
        (not_json, "returns its output once"),
        (not_json_either, "returns its output once"),
        (opaque, "Opaque"),
        (opaque_output, "Opaque"),
        (not_describable, "CallableSchema"),
        (not_written, "its JSON Schema is not JSON"),
        (partial(answer), "partial objects cannot be handlers"),
        (len, "builtin_function_or_method objects cannot be handlers"),
        (Answer, "type objects cannot be handlers"),
    ],
)
def test_functions_that_are_no_handlers(function: Callable[..., Any], words: str) -> None:
    own = Handlers()

    with pytest.raises(DefinitionError, match=words) as refused:
        own.on("question.bad", run_in="thread")(function)
    assert "handler 'question.bad'" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(own) == 0


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic reads typing.TypedDict from Python 3.12 on")
def test_a_typed_dict_that_pydantic_cannot_read_names_the_one_it_can() -> None:
    with pytest.raises(DefinitionError, match=r"typing_extensions\.TypedDict"):
        Handlers().on("question.bad", run_in="thread")(old)


def test_async_runs_in_the_loop_only() -> None:
    with pytest.raises(DefinitionError, match="an `async def` runs in the loop"):
        Handlers().on("question.bad", run_in="thread")(number)
    with pytest.raises(DefinitionError, match="an `async def` runs in the loop"):
        Handlers().on("question.bad", run_in="process")(number)


def test_a_plain_function_never_runs_in_the_loop() -> None:
    with pytest.raises(DefinitionError, match="a plain `def` would block the loop"):
        Handlers().on("question.bad")(answer)
