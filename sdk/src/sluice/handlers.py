"""Where authors register handlers, and what a worker learns of each.

An author makes one `Handlers` per module and decorates functions with it. A worker imports that module, iterates over
the `Handlers` and announces every `HandlerDefinition`; for each job it parses the input, calls the function where
`run_in` says, and renders the output. Everything that can be wrong with a definition is a `DefinitionError` at
decoration, when the author's module is imported, not when the first job arrives.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from sluice.definition import HandlerDefinition, Limits, RunIn, check_name, define, define_reducer, fits, naming
from sluice.errors import DefinitionError

Function = TypeVar("Function", bound=Callable[..., object])

BUILT_IN = frozenset({"sum", "mean", "min", "max", "count", "histogram", "quantiles", "collect"})
"""Names of reducers that every worker has (see `reducers`); no author's handler can have one of them."""

_Define = Callable[[str, str, Callable[..., object], Limits], HandlerDefinition]

_QUEUE = re.compile(r"[a-z][a-z0-9-]{1,40}", re.ASCII)


class Handlers:
    """The handlers of one module, all on one queue. Iterates in the order of registration."""

    def __init__(self, queue: str = "default") -> None:
        """Raises DefinitionError when `queue` is not 2 to 41 lower-case letters, digits and dashes after a letter."""
        if not fits(_QUEUE, queue):
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
        check_name(name)
        limits = Limits(timeout=timeout, max_attempts=max_attempts, cache_for=cache_for, run_in=run_in, version=version)
        return self._registering(name, limits, define)

    def reduce(
        self,
        name: str,
        *,
        timeout: float = 300,
        max_attempts: int = 5,
        run_in: RunIn = "loop",
        version: str = "1",
    ) -> Callable[[Function], Function]:
        """Registers the decorated function as a reducer: it makes one answer of the outputs of a batch.

            async def total(outputs: Outputs[WordCount]) -> Total: …

        Behind `outputs` it may take its options, a model of all that `reduce` of the batch says beside `handler`, and
        the JobContext. The arguments mean what those of `on` mean.

        Raises DefinitionError.
        """
        check_name(name, "reduce")
        limits = Limits(timeout=timeout, max_attempts=max_attempts, run_in=run_in, version=version)
        return self._registering(name, limits, define_reducer)

    def _registering(self, name: str, limits: Limits, define: _Define) -> Callable[[Function], Function]:
        limits.check(name)

        def register(function: Function) -> Function:
            with naming(name, function):
                if name in self._definitions:
                    raise DefinitionError("the name is taken by another handler")
                if name in BUILT_IN:
                    raise DefinitionError("the name is taken by a built-in reducer, which every worker has")
                self._definitions[name] = define(name, self.queue, function, limits)
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
