"""The commands of one moment as one request, and each reply back to who asked. No I/O; `connection` decides when.

GETs become one MGET, each key in it once however many ask. (One MGET names keys of many jobs, which a cluster would
refuse: a single node, as Memorystore's basic and standard tiers are, is assumed. Scripts keep to one hash tag.)
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import hiredis

from shared.cache.redis.script import Script
from shared.cache.redis.wire import Part, Reply, pack
from shared.errors import CacheUnavailable

MAX_BATCH_CALLS: Final = 128
"""Beyond about a hundred a larger batch saves no more CPU, while 128 bodies of the largest size are 64 MiB already."""
MAX_BATCH_BYTES: Final = 1 << 20
"""Of the request; a single larger command travels alone."""
MAX_WAITING_CALLS: Final = 16_384
MAX_WAITING_BYTES: Final = 64 << 20
"""What may wait for its turn, before callers are refused."""

Answer: TypeAlias = asyncio.Future[Reply]


@dataclass(slots=True, eq=False)
class Get:
    """A key that somebody wants. deadline: of `time.monotonic`, as everywhere here."""

    answer: Answer
    deadline: float
    key: str

    @property
    def size(self) -> int:
        return len(self.key)


@dataclass(slots=True, eq=False)
class Command:
    """Anything else. script: where `parts` is an EVALSHA, so that it can travel again with the source."""

    answer: Answer
    deadline: float
    parts: tuple[Part, ...]
    packed: bytes
    script: Script | None = None

    @property
    def size(self) -> int:
        return len(self.packed)

    def spell_out(self) -> None:
        """Make the EVALSHA an EVAL."""
        assert self.script is not None
        self.packed = pack(("EVAL", self.script.source, *self.parts[2:]))
        self.script = None


Call: TypeAlias = Get | Command


def refuse(call: Call, why: str) -> None:
    """Answer with CacheUnavailable, unless the caller has gone."""
    if not call.answer.done():
        call.answer.set_exception(CacheUnavailable(why))


class Backlog:
    """Calls that wait for their turn, in the order of their deadlines."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def deadline(self) -> float | None:
        """The earliest."""
        return self._calls[0].deadline if self._calls else None

    def add(self, call: Call) -> bool:
        """Whether there was room."""
        if len(self._calls) >= MAX_WAITING_CALLS or self._bytes + call.size > MAX_WAITING_BYTES:
            return False
        self._calls.append(call)
        self._bytes += call.size
        return True

    def put_back(self, calls: list[Command]) -> None:
        """Before all others: they are older, and had room already."""
        self._calls.extendleft(reversed(calls))
        self._bytes += sum(call.size for call in calls)

    def take(self) -> Call | None:
        """The next call that somebody still waits for."""
        while self._calls:
            call = self._calls.popleft()
            self._bytes -= call.size
            if not call.answer.done():
                return call
        return None

    def expire(self, now: float, why: str) -> None:
        """Refuse those whose deadline has come."""
        while self._calls and (self._calls[0].deadline <= now or self._calls[0].answer.done()):
            self._refuse_first(why)

    def refuse_all(self, why: str) -> None:
        while self._calls:
            self._refuse_first(why)

    def _refuse_first(self, why: str) -> None:
        call = self._calls.popleft()
        self._bytes -= call.size
        refuse(call, why)


class Batch:
    """One round trip. Its callers may leave or run out of time; the places of their replies stay.

    least: a moment before which none of its deadlines comes.
    """

    def __init__(self, backlog: Backlog, sent_at: float, least: float = 0.0) -> None:
        self.sent_at = sent_at
        self._least = least
        self._places: dict[str, int] = {}
        self._gets: list[Get] = []
        self._commands: list[Command] = []
        self._replies: list[Reply] = []
        self._fill(backlog)
        self._expected = len(self._commands) + bool(self._gets)

    def __bool__(self) -> bool:
        return self._expected > 0

    def pack(self) -> bytes:
        """The request."""
        packed = [command.packed for command in self._commands]
        if self._places:
            packed.append(pack(("MGET", *self._places)))
        return b"".join(packed)

    def receive(self, replies: list[Reply]) -> bool:
        """Keep the replies, which may come in pieces. Whether that was all."""
        self._replies += replies
        return not self.owed

    @property
    def owed(self) -> int:
        """How many replies are still to come."""
        return self._expected - len(self._replies)

    def settle(self) -> list[Command]:
        """Answer everybody. Those whose script the server does not know are returned, spelled out, to go again."""
        commands = zip(self._commands, self._replies, strict=False)  # MGET's reply comes last
        unknown = [command for command, reply in commands if _settle(command, reply)]
        if self._gets:
            self._settle_gets(self._replies[-1])
        return unknown

    def expire(self, now: float, why: str) -> None:
        """Refuse those whose deadline has come."""
        for call in self._calls():
            if call.deadline <= now:
                refuse(call, why)

    def refuse_all(self, why: str) -> None:
        for call in self._calls():
            refuse(call, why)

    @property
    def deadline(self) -> float | None:
        """The earliest of those that still wait."""
        return min((call.deadline for call in self._calls() if not call.answer.done()), default=None)

    def _calls(self) -> Iterator[Call]:
        yield from self._gets
        yield from self._commands

    def _fill(self, backlog: Backlog) -> None:
        room = MAX_BATCH_BYTES
        while room > 0 and len(self._places) + len(self._commands) < MAX_BATCH_CALLS:
            call = backlog.take()
            if call is None:
                return
            room -= call.size
            call.deadline = max(call.deadline, self._least)
            if isinstance(call, Get):
                self._places.setdefault(call.key, len(self._places))
                self._gets.append(call)
            else:
                self._commands.append(call)

    def _settle_gets(self, reply: Reply) -> None:
        if isinstance(reply, hiredis.ReplyError):
            for get in self._gets:
                refuse(get, f"Redis answered {reply}")
            return
        for get in self._gets:
            if not get.answer.done():
                get.answer.set_result(reply[self._places[get.key]])


def _settle(command: Command, reply: Reply) -> bool:
    """Whether the command has to go again."""
    if command.answer.done():
        return False
    if not isinstance(reply, hiredis.ReplyError):
        command.answer.set_result(reply)
    elif command.script is not None and str(reply).startswith("NOSCRIPT"):
        command.spell_out()
        return True
    else:
        refuse(command, f"Redis answered {reply}")
    return False
