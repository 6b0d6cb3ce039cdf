"""Where authors register handlers, and what a worker learns of each.

An author makes one `Handlers` per module and decorates functions with it. A worker imports that module, iterates over
the `Handlers` and announces every `HandlerDefinition`; for each job it parses the input, calls the function where
`run_in` says, and renders the output. Everything that can be wrong with a definition is a `DefinitionError` at
decoration, when the author's module is imported, not when the first job arrives.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from sluice.context import JobContext
from sluice.errors import DefinitionError
from sluice.schema import InputType, OutputType
from sluice.signature import Signature, read_signature

RunIn = Literal["loop", "thread", "process"]
Function = TypeVar("Function", bound=Callable[..., object])

_MOST = 10**9
"""Of anything: 31 years of seconds. More is a mistake, and would not fit where numbers are kept."""

_QUEUE = re.compile(r"[a-z][a-z0-9-]{1,40}", re.ASCII)
_NAME = re.compile(r"(?=.{1,100}\Z)[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9._+-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HandlerDefinition:
    """A registered handler. Made by `Handlers.on` only."""

    name: str
    queue: str
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
    takes_context: bool
    _input: InputType = field(repr=False, compare=False)
    _output: OutputType = field(repr=False, compare=False)

    def input_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of what the handler takes."""
        return self._input.schema()

    def output_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of what clients receive."""
        return self._output.schema()

    def parse_input(self, data: bytes) -> Any:
        """The JSON `data` as the handler's input type. Raises InvalidInput."""
        return self._input.parse(data)

    def call(self, value: Any, job: JobContext) -> Any:
        """Runs the function on a parsed input. With `run_in="loop"` it returns a coroutine to await."""
        return self.function(value, job) if self.takes_context else self.function(value)

    def render_output(self, value: Any) -> bytes:
        """What the function returned, as compact JSON. Raises InvalidOutput."""
        return self._output.render(value)


class Handlers:
    """The handlers of one module, all on one queue. Iterates in the order of registration."""

    def __init__(self, queue: str = "default") -> None:
        """Raises DefinitionError when `queue` is not 2 to 41 lower-case letters, digits and dashes after a letter."""
        if not _fits(_QUEUE, queue):
            raise DefinitionError(
                f"queue {queue!r}: a queue name is 2 to 41 lower-case letters, digits and dashes, a letter first"
            )
        self.queue = queue
        self._definitions: dict[str, HandlerDefinition] = {}

    def on(
        self,
        name: str,
        *,
        timeout: float = 60,
        max_attempts: int = 5,
        cache_for: int = 0,
        run_in: RunIn = "loop",
        version: str = "1",
    ) -> Callable[[Function], Function]:
        """Registers the decorated function under `name` and leaves it as it is.

        `timeout` is in seconds and for one attempt. `max_attempts` counts the first one. `cache_for` is in seconds: how
        long a result may answer equal inputs of the same tenant; 0 shares nothing. `run_in`: "loop" for `async def`;
        "thread" for a function that waits, or computes outside of Python's lock; "process" for one that computes in
        Python. Change `version` when equal inputs may give another output.

        Raises DefinitionError.
        """
        _check_name(name)
        limits = _Limits(timeout, max_attempts, cache_for, run_in, version)
        limits.check(name)

        def register(function: Function) -> Function:
            with _naming(name, function):
                if name in self._definitions:
                    raise DefinitionError("the name is taken by another handler")
                self._definitions[name] = _define(name, self.queue, function, limits)
            return function

        return register

    def __iter__(self) -> Iterator[HandlerDefinition]:
        return iter(self._definitions.values())

    def __len__(self) -> int:
        return len(self._definitions)

    def __contains__(self, name: object) -> bool:
        return name in self._definitions

    def __getitem__(self, name: str) -> HandlerDefinition:
        """Raises KeyError."""
        return self._definitions[name]

    def __repr__(self) -> str:
        return f"Handlers(queue={self.queue!r}, names={list(self._definitions)})"


@dataclass(frozen=True, slots=True)
class _Limits:
    """What `Handlers.on` was told beside the name."""

    timeout: float
    max_attempts: int
    cache_for: int
    run_in: RunIn
    version: str

    def check(self, name: str) -> None:
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
        if not _fits(_VERSION, self.version):
            yield f"version is 1 to 64 letters, digits and . _ + -, not {self.version!r}"


def _fits(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _check_name(name: str) -> None:
    if callable(name):
        raise DefinitionError('write `@handlers.on("some.name")`: a handler needs a name')
    if not _fits(_NAME, name):
        raise DefinitionError(
            f"handler {name!r}: a name is 1 to 100 of a-z, 0-9, `_`, `-`, in parts separated by single dots"
        )


@contextmanager
def _naming(name: str, function: object) -> Iterator[None]:
    """Puts the handler's name, and where its function is, in front of whatever is wrong with it."""
    where = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
    try:
        yield
    except DefinitionError as fault:
        raise DefinitionError(f"handler {name!r} ({where}): {fault}") from fault


def _define(name: str, queue: str, function: Callable[..., object], limits: _Limits) -> HandlerDefinition:
    signature = read_signature(function)
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
        takes_context=signature.takes_context,
        _input=InputType(signature.input),
        _output=OutputType(signature.output),
    )


def _check_place(signature: Signature, run_in: RunIn) -> None:
    if signature.is_async and run_in != "loop":
        raise DefinitionError(f"an `async def` runs in the loop; with run_in={run_in!r} write a plain `def`")
    if not signature.is_async and run_in == "loop":
        raise DefinitionError('a plain `def` would block the loop; write `async def`, or run_in="thread" or "process"')


def _description(function: Callable[..., object]) -> str:
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
