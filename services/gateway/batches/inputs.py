"""A batch's inputs as they arrive, cut into chunks: parts of an upload that are remembered, and sent, as one.

Each input is checked before its chunk is whole, and nothing of a chunk is published before that. A chunk is named by
the SHA-256 of its inputs, each in its one spelling (`canonical`), with a line feed behind each, so that the same inputs
are the same chunk however they are written.

The loop is left alone for a moment every few inputs: a large batch must not delay anybody else.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from services.gateway.batches.lines import CLOSE, lines
from services.gateway.catalogue.handlers import MAX_FAULTS
from services.gateway.http.canonical import canonical
from services.gateway.http.limits import parse_json
from services.gateway.http.problems import INVALID_INPUT, OUT_OF_RANGE, TOO_LARGE, Fault, Problem
from services.gateway.settings import Settings
from shared.models.batch import CHUNK_BYTES, CHUNK_ITEMS, Chunk

AT_A_TIME: Final = 200
"""Inputs between two turns of the loop."""

Check = Callable[[Any], None]
"""Raises Problem for an input that the handler does not take."""


class Draft:
    """A chunk as it is made."""

    __slots__ = ("_hash", "_size", "first", "inputs", "number")

    def __init__(self, number: int, first: int) -> None:
        self.number = number
        self.first = first
        self.inputs: list[bytes] = []
        """JSON."""
        self._size = 0
        self._hash = hashlib.sha256()

    def add(self, raw: bytes, spelled: bytes) -> None:
        """spelled: the canonical spelling of `raw`, by which the chunk's hash and size go."""
        self.inputs.append(raw)
        self._size += len(spelled)
        self._hash.update(spelled)
        self._hash.update(b"\n")

    @property
    def whole(self) -> bool:
        return len(self.inputs) >= CHUNK_ITEMS or self._size >= CHUNK_BYTES

    @property
    def end(self) -> int:
        """The index behind its last item."""
        return self.first + len(self.inputs)

    def chunk(self, *, published: bool = False) -> Chunk:
        return Chunk(self.number, self.first, len(self.inputs), self._hash.digest(), published)

    def next(self) -> "Draft":
        return Draft(self.number + 1, self.end)


class Inputs(Protocol):
    """The inputs of one request."""

    def drafts(self, check: Check | None) -> AsyncIterator[Draft]:
        """Chunk by chunk; once. check: None where they are only compared with what was sent before. Raises Problem."""
        ...

    async def check(self, check: Check) -> None:
        """Check what is at hand before anything is done with it. Raises Problem."""
        ...


class ListedInputs:
    """Those of a JSON body, which is whole: nothing is done unless all of them are good."""

    def __init__(self, settings: Settings, values: Sequence[Any]) -> None:
        self._max_bytes = settings.max_line_bytes
        self._values = values
        if len(values) > settings.max_batch_items:
            raise too_many(settings.max_batch_items)

    async def check(self, check: Check) -> None:
        faults: list[Fault] = []
        for index, value in enumerate(self._values):
            try:
                check(value)
            except Problem as problem:
                faults += placed(problem, f"/inputs/{index}")
            if len(faults) >= MAX_FAULTS:
                break
            if index % AT_A_TIME == AT_A_TIME - 1:
                await asyncio.sleep(0)
        if faults:
            raise Problem(INVALID_INPUT, "Not every input fits the handler.", errors=faults[:MAX_FAULTS])
        await self._check_sizes()

    async def _check_sizes(self) -> None:
        for index, value in enumerate(self._values):
            if len(canonical(value)) > self._max_bytes:
                fault = Fault(f"/inputs/{index}", f"is larger than {self._max_bytes} bytes")
                raise Problem(TOO_LARGE, "An input is too large.", errors=[fault])
            if index % AT_A_TIME == AT_A_TIME - 1:
                await asyncio.sleep(0)

    async def drafts(self, check: Check | None) -> AsyncIterator[Draft]:
        draft = Draft(0, 0)
        for index, value in enumerate(self._values):
            draft.add(orjson.dumps(value), canonical(value))
            if draft.whole:
                yield draft
                draft = draft.next()
            if index % AT_A_TIME == AT_A_TIME - 1:
                await asyncio.sleep(0)
        if draft.inputs:
            yield draft


class StreamedInputs:
    """Those of an upload of lines: good until the first bad one."""

    def __init__(self, settings: Settings, request: web.Request) -> None:
        self._settings = settings
        self._request = request

    async def check(self, check: Check) -> None:
        """Nothing is at hand yet."""

    async def drafts(self, check: Check | None) -> AsyncIterator[Draft]:
        settings, draft = self._settings, Draft(0, 0)
        coming = lines(self._request, max_bytes=settings.max_line_bytes, silence_seconds=settings.silence_seconds)
        async for several in coming:
            for line in several:
                if draft.end >= settings.max_batch_items:
                    raise too_many(settings.max_batch_items)
                draft.add(line, _spelled(line, draft.end, check))
                if len(draft.inputs) % AT_A_TIME == 0:
                    await asyncio.sleep(0)
                if draft.whole:
                    yield draft
                    draft = draft.next()
        if draft.inputs:
            yield draft
        elif not draft.number:
            fault = Fault("/0", "there must be at least one input")
            raise Problem(OUT_OF_RANGE, "The upload has no line.", errors=[fault])


def _spelled(line: bytes, index: int, check: Check | None) -> bytes:
    """The line in its one spelling, if it is one input that is taken. Raises Problem, which names the line."""
    try:
        value = parse_json(line)
        if check is not None:
            check(value)
        return canonical(value)
    except Problem as problem:
        raise Problem(
            problem.type,
            f"The line of item {index} is not taken. {problem.detail}",
            errors=placed(problem, f"/{index}"),
            headers=CLOSE,
            members={"index": index},
        ) from None


def placed(problem: Problem, at: str) -> list[Fault]:
    """The faults of one input, as faults of the batch. at: where the input is."""
    return [Fault(at + each.pointer, each.detail) for each in problem.errors] or [Fault(at, problem.detail)]


def too_many(most: int) -> Problem:
    return Problem(TOO_LARGE, f"A batch has at most {most} items.", headers=CLOSE)
