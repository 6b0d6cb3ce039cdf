"""Snapshots of jobs in Redis: kept, read, watched and published. The `Teller` and `Snapshots` of every service."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from shared.cache.contract import LIVE_TTL_SECONDS, TERMINAL_TTL_SECONDS, WATCH_TTL_SECONDS
from shared.cache.redis.batch import MAX_BATCH_CALLS, Answer
from shared.cache.redis.connection import Connection
from shared.cache.redis.encoding import decode, decode_message, encode, flag
from shared.cache.redis.script import Script
from shared.cache.redis.subscription import subscribe
from shared.cache.redis.wire import Reply
from shared.models.public import Snapshot

_TELL: Final = Script.beside(__file__, "tell.lua")
_WATCH: Final = Script.beside(__file__, "watch.lua")


class RedisSnapshots:
    """See the Protocols. connection: open while this is used; `listen` opens one of its own to the same address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def tell(self, snapshot: Snapshot) -> None:
        ttl = TERMINAL_TTL_SECONDS if snapshot.terminal else LIVE_TTL_SECONDS
        arguments = (snapshot.order, encode(snapshot), ttl, flag(snapshot), snapshot.id)
        await self._connection.run(_TELL, _keys(snapshot.id), arguments)

    async def fetch(self, id: str) -> Snapshot | None:
        return decode(id, await self._connection.get(_job(id)))

    async def watch(self, gateway: str, ids: Sequence[str]) -> Sequence[Snapshot | None]:
        found: list[Snapshot | None] = []
        for start in range(0, len(ids), MAX_BATCH_CALLS):  # in pieces, so that other calls find room between them
            piece = ids[start : start + MAX_BATCH_CALLS]
            runs = [self._connection.run(_WATCH, _keys(job), (gateway, WATCH_TTL_SECONDS)) for job in piece]
            found += map(decode, piece, await _all(runs))
        return found

    async def unwatch(self, gateway: str, id: str) -> None:
        await self._connection.execute("SREM", _watch(id), gateway)

    def listen(self, gateway: str) -> AbstractAsyncContextManager[AsyncIterator[Snapshot]]:
        return subscribe(self._connection.address, f"gw:{gateway}", decode_message)


async def _all(runs: Sequence[Answer]) -> list[Reply]:
    """Every answer, or the first failure. As asyncio.gather, at a third of its cost for answers that come at once."""
    try:
        return [await run for run in runs]
    finally:
        for run in runs:
            if not run.cancel() and not run.cancelled():
                run.exception()  # looked at, so that the loop does not report the failures after the first


def _job(id: str) -> str:
    return f"job:{{{id}}}"


def _watch(id: str) -> str:
    return f"watch:{{{id}}}"


def _keys(id: str) -> tuple[str, str]:
    return _job(id), _watch(id)
