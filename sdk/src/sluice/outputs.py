"""The outputs of a batch as its reducer reads them: one after another, a page ahead at most, never all in memory.

    async for words in outputs: …      in a reducer that runs in the loop
    for words in outputs: …            in one that runs in a thread or a process

Made by whoever runs a reducer, from an `OutputSource`: the worker's runner, or `sluice.testing`. Each pass over the
outputs begins anew, so there can be several, one after another or side by side. Pages are small, and while one is read
the next is on its way: the source reads no further before it is taken.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from sluice.errors import InvalidInput, UnfitOutput

if TYPE_CHECKING:  # what `import sluice` need not bring along
    from concurrent.futures import Future

PAGE_SECONDS = 120.0
"""For one page. Far more than it takes: who answers has shorter deadlines, and gives up the whole attempt at theirs."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counts:
    """How the items of the batch have ended."""

    total: int
    succeeded: int
    failed: int = 0
    canceled: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """An item of the batch that has succeeded."""

    index: int
    """Its place in the batch, from 0."""
    id: str
    """Of its job."""
    output: T


@dataclass(frozen=True, slots=True)
class RawOutput:
    """An item as it was stored."""

    index: int
    id: str
    data: bytes
    """JSON."""


class OutputSource(Protocol):
    """Where the outputs come from."""

    @property
    def counts(self) -> Counts: ...

    def ask(self, start: int, /) -> "Future[Sequence[RawOutput]]":
        """A page: the outputs from place `start` (below `counts.succeeded`) among those that there are, at least one.

        Called from any thread, and returns at once. The future fails when the attempt is given up.
        """
        ...


class Outputs(Generic[T]):
    """The outputs of a batch's items that have succeeded, in the order of the batch, as the type that it is of.

    Whatever else became of items is in `counts`. Iterating raises UnfitOutput at an output that is not of the type;
    the job has then failed, unless the reducer catches it.
    """

    __slots__ = ("_parse", "_source")

    def __init__(self, source: OutputSource, parse: Callable[[bytes], T]) -> None:
        """`parse` reads an output. It raises InvalidInput."""
        self._source = source
        self._parse = parse

    @property
    def counts(self) -> Counts:
        """How the items of the batch have ended."""
        return self._source.counts

    def __len__(self) -> int:
        """How many outputs there are."""
        return self._source.counts.succeeded

    def items(self) -> "Items[T]":
        """The same with the index and the id of each: `async for item in outputs.items()`, or `for`."""
        return Items(self._source, self._parse)

    def __iter__(self) -> Iterator[T]:
        return (item.output for item in self.items())

    async def __aiter__(self) -> AsyncIterator[T]:
        async for item in self.items():
            yield item.output


class Items(Generic[T]):
    """See `Outputs.items`."""

    __slots__ = ("_parse", "_source")

    def __init__(self, source: OutputSource, parse: Callable[[bytes], T]) -> None:
        self._source = source
        self._parse = parse

    def __iter__(self) -> Iterator[Item[T]]:
        _check_outside_of_a_loop()
        with _Pass(self._source) as pages:
            while (coming := pages.next()) is not None:
                page = coming.result(PAGE_SECONDS)
                pages.took(page)
                yield from map(self._item, page)

    async def __aiter__(self) -> AsyncIterator[Item[T]]:
        import asyncio  # it is there already: something awaits this

        with _Pass(self._source) as pages:
            while (coming := pages.next()) is not None:
                async with asyncio.timeout(PAGE_SECONDS):
                    page = await asyncio.wrap_future(coming)
                pages.took(page)
                for raw in page:
                    yield self._item(raw)

    def _item(self, raw: RawOutput) -> Item[T]:
        try:
            return Item(raw.index, raw.id, self._parse(raw.data))
        except InvalidInput as error:
            found = error.faults
        raise UnfitOutput(raw.index, found)


class _Pass:
    """One way through the pages. The next is asked for when one was taken, before it is read."""

    def __init__(self, source: OutputSource) -> None:
        self._source = source
        self._start = 0
        self._coming: Future[Sequence[RawOutput]] | None = None

    def __enter__(self) -> "_Pass":
        self._ask()
        return self

    def __exit__(self, *_: object) -> None:
        if self._coming is not None:
            self._coming.cancel()

    def next(self) -> "Future[Sequence[RawOutput]] | None":
        """The page that comes next, or None behind the last."""
        return self._coming

    def took(self, page: Sequence[RawOutput]) -> None:
        if not page:
            raise AssertionError("a source that gives no outputs where there are some")
        self._start += len(page)
        self._ask()

    def _ask(self) -> None:
        more = self._start < self._source.counts.succeeded
        self._coming = self._source.ask(self._start) if more else None


def _check_outside_of_a_loop() -> None:
    import asyncio  # most handlers never come here

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("`for` over the outputs would block the loop; write `async for`")
