"""A registered handler: what it is called and takes, where it runs, and how long it may.

Made by `Handlers`, of authors' functions, and by `reducers`, of the built-in ones; read by the worker and by
`sluice.testing`. Everything that can be wrong with a definition is a `DefinitionError` when it is made.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sluice.context import JobContext
from sluice.errors import DefinitionError
from sluice.outputs import Outputs, OutputSource
from sluice.schema import InputType, OutputType
from sluice.signature import Signature, read_reducer, read_signature

RunIn = Literal["loop", "thread", "process"]

_MOST = 10**9
"""Of anything: 31 years of seconds. More is a mistake, and would not fit where numbers are kept."""

_NAME = re.compile(r"(?=.{1,100}\Z)[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9._+-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HandlerDefinition:
    """A registered handler."""

    name: str
    queue: str
    """Empty for a built-in reducer: it runs on the queue of the batch that it is for."""
    function: Callable[..., Any]
    """As the author wrote it."""
    run_in: RunIn
    timeout_seconds: float
    """For one attempt."""
    max_attempts: int
    cache_for_seconds: int
    """How long a result may answer equal inputs; 0: never."""
    version: str
    """Changes when equal inputs may give another output: results are shared within one version only."""
    description: str
    """The first paragraph of the docstring."""
    takes_input: bool
    """A reducer need not take options."""
    takes_context: bool
    _input: InputType = field(repr=False, compare=False)
    _output: OutputType = field(repr=False, compare=False)
    _item: InputType | None = field(default=None, repr=False, compare=False)

    @property
    def reduces(self) -> bool:
        """Whether it takes the outputs of a batch."""
        return self._item is not None

    def input_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of what the handler takes; of a reducer's options."""
        return self._input.schema()

    def output_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of what clients receive."""
        return self._output.schema()

    def parse_input(self, data: bytes) -> Any:
        """The JSON `data` as the handler's input type, or its options'. Raises InvalidInput."""
        return self._input.parse(data)

    def call(self, value: Any, job: JobContext | None, outputs: OutputSource | None = None) -> Any:
        """Runs the function on a parsed input. With `run_in="loop"` it returns a coroutine to await.

        job: None will do for one that takes no context. outputs: what a reducer reads. Raises ValueError where that is
        missing.
        """
        given: list[Any] = []
        if self._item is not None:
            if outputs is None:
                raise ValueError(f"{self.name} reduces the outputs of a batch, and there are none to read")
            given.append(Outputs(outputs, self._item.parse))
        if self.takes_input:
            given.append(value)
        if self.takes_context:
            given.append(job)
        return self.function(*given)

    def render_output(self, value: Any) -> bytes:
        """What the function returned, as compact JSON. Raises InvalidOutput."""
        return self._output.render(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What authors say of a handler beside its name; see `Handlers.on`."""

    timeout: float
    max_attempts: int
    cache_for: int = 0
    run_in: RunIn
    version: str

    def check(self, name: str) -> None:
        """Raises DefinitionError."""
        faults = list(self._faults())
        if faults:
            raise DefinitionError(f"handler {name!r}: " + "; ".join(faults))

    def _faults(self) -> Iterator[str]:
        if not (_is_number(self.timeout, int, float) and 0 < self.timeout <= _MOST):
            yield f"timeout is a positive number of seconds, not {self.timeout!r}"
        if not (_is_number(self.max_attempts, int) and 1 <= self.max_attempts <= _MOST):
            yield f"max_attempts is a whole number of at least 1, not {self.max_attempts!r}"
        if not (_is_number(self.cache_for, int) and 0 <= self.cache_for <= _MOST):
            yield f"cache_for is a whole number of seconds, 0 for never, not {self.cache_for!r}"
        if self.run_in not in get_args(RunIn):
            yield f"run_in is one of {', '.join(get_args(RunIn))}, not {self.run_in!r}"
        if not fits(_VERSION, self.version):
            yield f"version is 1 to 64 letters, digits and . _ + -, not {self.version!r}"


def fits(pattern: re.Pattern[str], text: object) -> bool:
    """Whether it is a string that matches, whole."""
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def check_name(name: str, decorator: str = "on") -> None:
    """Raises DefinitionError. decorator: what it was passed to."""
    if callable(name):
        raise DefinitionError(f'write `@handlers.{decorator}("some.name")`: a handler needs a name')
    if not fits(_NAME, name):
        raise DefinitionError(
            f"handler {name!r}: a name is 1 to 100 of a-z, 0-9, `_`, `-`, in parts separated by single dots"
        )


@contextmanager
def naming(name: str, function: object) -> Iterator[None]:
    """Puts the handler's name, and where its function is, in front of whatever is wrong with it."""
    where = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
    try:
        yield
    except DefinitionError as fault:
        raise DefinitionError(f"handler {name!r} ({where}): {fault}") from fault


def define(name: str, queue: str, function: Callable[..., object], limits: Limits) -> HandlerDefinition:
    """A handler of single jobs. Raises DefinitionError."""
    return _define(name, queue, function, limits, read_signature(function))


def define_reducer(name: str, queue: str, function: Callable[..., object], limits: Limits) -> HandlerDefinition:
    """A reducer of batches. Raises DefinitionError."""
    signature = read_reducer(function)
    definition = _define(name, queue, function, limits, signature, InputType(signature.item))
    _check_options(definition.input_schema())
    return definition


def _define(
    name: str,
    queue: str,
    function: Callable[..., object],
    limits: Limits,
    signature: Signature,
    item: InputType | None = None,
) -> HandlerDefinition:
    _check_place(signature, limits.run_in)
    return HandlerDefinition(
        name=name,
        queue=queue,
        function=function,
        run_in=limits.run_in,
        timeout_seconds=limits.timeout,
        max_attempts=limits.max_attempts,
        cache_for_seconds=limits.cache_for,
        version=limits.version,
        description=_description(function),
        takes_input=signature.takes_input,
        takes_context=signature.takes_context,
        _input=InputType(signature.input),
        _output=OutputType(signature.output),
        _item=item,
    )


def _check_place(signature: Signature, run_in: RunIn) -> None:
    if signature.is_async and run_in != "loop":
        raise DefinitionError(f"an `async def` runs in the loop; with run_in={run_in!r} write a plain `def`")
    if not signature.is_async and run_in == "loop":
        raise DefinitionError('a plain `def` would block the loop; write `async def`, or run_in="thread" or "process"')


def _check_options(schema: dict[str, Any]) -> None:
    """They stand beside `handler` in `reduce` of a batch."""
    if schema.get("type", "object") != "object":
        raise DefinitionError("the options of a reducer are an object: a model, a dataclass or a TypedDict")
    if "handler" in schema.get("properties", {}):
        raise DefinitionError("an option of a reducer cannot be called `handler`, which names the reducer itself")


def _description(function: Callable[..., object]) -> str:
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
