"""What workers have announced: the handlers that can be asked for, with their inputs' schemas compiled.

Follows the catalogue in the store; a name that is not known is looked for once more at once, since a worker may just
have started. The gateway never imports a handler.
"""

import asyncio
import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from services.gateway.http.problems import INVALID_INPUT, REDUCER, UNKNOWN_HANDLER, Fault, Problem, unavailable
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.models.handler import HandlerEntry
from shared.storage.contract import Catalogue

MAX_FAULTS = 20
REFRESH_AT_MOST_EVERY_SECONDS = 1.0

_log = logging.getLogger("sluice.gateway")


@dataclass(frozen=True, slots=True)
class Handler:
    entry: HandlerEntry
    validator: jsonschema_rs.Draft202012Validator

    def refuse_reducer(self) -> None:
        """Raises Problem if no job may be posted to it."""
        if self.entry.reduces:
            raise Problem(REDUCER, f"{self.entry.name} takes the outputs of a batch; it is asked for in `reduce`.")

    def check(self, value: Any) -> None:
        """Raises Problem, with the place and the reason of each fault, if `value` does not fit the schema."""
        if self.validator.is_valid(value):
            return
        faults = [
            Fault(_pointer(error.instance_path), error.message)
            for error, _ in zip(self.validator.iter_errors(value), range(MAX_FAULTS), strict=False)
        ]
        raise Problem(INVALID_INPUT, f"The input does not fit {self.entry.name}.", errors=faults)


class Handlers:
    """The catalogue as this gateway knows it."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._known: Mapping[str, Handler] = {}
        self._loaded_at: float | None = None
        self._loading = asyncio.Lock()

    async def follow(self, every_seconds: float) -> None:
        """Keep up with announcements until cancelled."""
        while True:
            try:
                await self._load()
            except (Unavailable, Overloaded) as fault:
                _log.warning("the catalogue cannot be read", extra={"fault": type(fault).__name__})
            await self._clock.sleep(every_seconds)

    def announced(self, name: str) -> bool:
        """Whether this gateway knows the handler."""
        return name in self._known

    async def find(self, name: str) -> Handler:
        """The handler. Raises Problem: 404 with near names, or 503 while nobody can tell."""
        handler = self._known.get(name) or await self._look_again(name)
        if handler is None:
            near = difflib.get_close_matches(name, self._known, n=3)
            raise Problem(UNKNOWN_HANDLER, "No handler by that name is announced.", members={"near": near})
        return handler

    @property
    def known(self) -> Sequence[HandlerEntry]:
        """What this gateway knows of, by name; nothing before it has looked."""
        return [handler.entry for handler in self._known.values()]

    def takes(self, name: str, input: Any) -> bool:
        """Whether the handler is known, and takes that input."""
        handler = self._known.get(name)
        return handler is not None and handler.validator.is_valid(input)

    async def entries(self) -> Sequence[HandlerEntry]:
        """All that are announced, by name. Raises Problem 503 while nobody can tell."""
        if self._loaded_at is None:
            try:
                await self._load()
            except (Unavailable, Overloaded):
                raise unavailable("The handlers cannot be read right now.") from None
        return self.known

    async def _look_again(self, name: str) -> Handler | None:
        if self._loaded_at is None or self._clock.monotonic() - self._loaded_at >= REFRESH_AT_MOST_EVERY_SECONDS:
            try:
                await self._load()
            except (Unavailable, Overloaded):
                raise unavailable("The handler cannot be looked up right now.", accepted=False) from None
        return self._known.get(name)

    async def _load(self) -> None:
        async with self._loading:
            entries = await self._catalogue.entries()
            compiled = [self._compiled(entry) for entry in entries]
            self._known = {handler.entry.name: handler for handler in compiled if handler}
            self._loaded_at = self._clock.monotonic()

    def _compiled(self, entry: HandlerEntry) -> Handler | None:
        held = self._known.get(entry.name)
        if held is not None and held.entry == entry:
            return held
        try:
            return Handler(entry, jsonschema_rs.Draft202012Validator(dict(entry.input_schema), mask="the value"))
        except ValueError:
            _log.error("a handler announced a schema that cannot be used", extra={"handler": entry.name})
            return None


def _pointer(path: list[str | int]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
