"""What running jobs report, in Redis: the `StreamWriter` of workers, the `Streams` of gateways.

A Redis stream a job, whose entries are numbered by the script that adds them (see `append.lua`). Gateways read on from
where each client is; who follows is hinted that there is more, and asks for it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from shared.cache.contract import Position, Report, ReportKind, StreamEntry
from shared.cache.lifetimes import FOLLOW_TTL_SECONDS, STREAM_BYTES, STREAM_REPORTS, STREAM_TTL_SECONDS
from shared.cache.redis.batch import MAX_BATCH_CALLS
from shared.cache.redis.connection import Connection
from shared.cache.redis.keys import follow_key, job_key, progress_key, stream_key
from shared.cache.redis.script import Script
from shared.cache.redis.subscription import subscribe, text
from shared.cache.redis.wire import Part, Reply

_APPEND: Final = Script.beside(__file__, "append.lua")
_FOLLOW: Final = Script.beside(__file__, "follow.lua")
_HEADER: Final = re.compile(rb"1 \d+ \d+ (progress|output) (\d+)\n")


class RedisStreams:
    """See the Protocols. connection: open while this is used; `hints` opens one of its own to the same address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(self, id: str, reports: Sequence[Report], *, turn: int, dropped: int = 0) -> None:
        said: list[Part] = []
        for report in reports:
            said += (report.kind, report.attempt, report.data)
        arguments = (id, turn, dropped, STREAM_TTL_SECONDS, STREAM_REPORTS, STREAM_BYTES, *said)
        keys = (stream_key(id), progress_key(id), follow_key(id), job_key(id))
        await self._connection.run(_APPEND, keys, arguments)

    async def after(self, id: str, position: Position | None, *, limit: int) -> Sequence[StreamEntry]:
        start = "-" if position is None else f"({position.epoch}-{position.number}"
        entries = await self._connection.execute("XRANGE", stream_key(id), start, "+", "COUNT", limit)
        return [read for entry in entries if (read := _entry(entry)) is not None]

    async def progress(self, id: str) -> Report | None:
        return _report(await self._connection.get(progress_key(id)))

    async def follow(self, gateway: str, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), MAX_BATCH_CALLS):
            piece = [(follow_key(id),) for id in ids[start : start + MAX_BATCH_CALLS]]
            arguments = (gateway, FOLLOW_TTL_SECONDS)
            await asyncio.gather(*(self._connection.run(_FOLLOW, keys, arguments) for keys in piece))

    def hints(self, gateway: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        return subscribe(self._connection.address, f"hint:{gateway}", text)


def _entry(entry: Reply) -> StreamEntry | None:
    """None for what is malformed, or of a version from the future: whoever reads on finds its number missing."""
    place, fields = entry
    epoch, _, number = place.partition(b"-")
    report = _report(fields[1])
    return None if report is None else StreamEntry(Position(int(epoch), int(number)), report)


def _report(value: Reply) -> Report | None:
    match = _HEADER.match(value) if isinstance(value, bytes) else None
    return match and Report(ReportKind(match[1].decode()), int(match[2]), value[match.end() :])
