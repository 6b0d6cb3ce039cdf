"""Snapshots of jobs in Redis: kept, read, watched and published. Every service's `Teller`, `Snapshots`, `Eraser`."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

from shared.cache.lifetimes import TERMINAL_TTL_SECONDS, UNATTEMPTED_TTL_SECONDS, WATCH_TTL_SECONDS, seconds_to_keep
from shared.cache.redis.batch import MAX_BATCH_CALLS, Answer
from shared.cache.redis.connection import Connection
from shared.cache.redis.encoding import decode, decode_message, encode, encode_message, flag
from shared.cache.redis.keys import follow_key, job_key, progress_key, stream_key, watch_key
from shared.cache.redis.script import Script
from shared.cache.redis.subscription import subscribe
from shared.cache.redis.wire import Part, Reply
from shared.models.public import Snapshot, deleted

T = TypeVar("T")

TELL: Final = Script.beside(__file__, "tell.lua")
_WATCH: Final = Script.beside(__file__, "watch.lua")
_ERASE: Final = Script.beside(__file__, "erase.lua")
_ALL_GATEWAYS: Final = "gateways"


class RedisSnapshots:
    """See the Protocols. connection: open while this is used; `listen` opens one of its own to the same address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, snapshot: Snapshot) -> Answer:
        return self._connection.run(TELL, job_keys(snapshot.id), telling(snapshot))

    async def fetch(self, id: str) -> Snapshot | None:
        return decode(id, await self._connection.get(job_key(id)))

    async def fetch_all(self, ids: Sequence[str]) -> Sequence[Snapshot | None]:
        return await self._each(ids, lambda id: self._connection.get(job_key(id)))

    async def watch(self, gateway: str, ids: Sequence[str]) -> Sequence[Snapshot | None]:
        arguments = (gateway, WATCH_TTL_SECONDS, UNATTEMPTED_TTL_SECONDS)
        return await self._each(ids, lambda id: self._connection.run(_WATCH, job_keys(id), arguments))

    async def restore(self, snapshots: Sequence[Snapshot]) -> None:
        for piece in _pieces(snapshots):
            await _all([self._put(snapshot) for snapshot in piece])

    async def unwatch(self, gateway: str, id: str) -> None:
        await self._connection.execute("SREM", watch_key(id), gateway)

    async def erase(self, id: str) -> None:
        gone = deleted(id)
        arguments = (encode(gone), TERMINAL_TTL_SECONDS, encode_message(gone))
        keys = (*job_keys(id), stream_key(id), progress_key(id), follow_key(id))
        await self._connection.run(_ERASE, keys, arguments)

    async def _each(self, ids: Sequence[str], ask: Callable[[str], Answer]) -> Sequence[Snapshot | None]:
        found: list[Snapshot | None] = []
        for piece in _pieces(ids):
            found += map(decode, piece, await _all([ask(id) for id in piece]))
        return found

    def _put(self, snapshot: Snapshot) -> Answer:
        seconds = seconds_to_keep(snapshot)
        return self._connection.execute("SET", job_key(snapshot.id), encode(snapshot), "EX", seconds, "NX")

    def listen(self, gateway: str) -> AbstractAsyncContextManager[AsyncIterator[Snapshot]]:
        return subscribe(self._connection.address, f"gw:{gateway}", decode_message, _ALL_GATEWAYS)


def _pieces(calls: Sequence[T]) -> Iterator[Sequence[T]]:
    """So that other calls find room between them."""
    for start in range(0, len(calls), MAX_BATCH_CALLS):
        yield calls[start : start + MAX_BATCH_CALLS]


async def _all(runs: Sequence[Answer]) -> list[Reply]:
    """Every answer, or the first failure. As asyncio.gather, at a third of its cost for answers that come at once."""
    try:
        return [await run for run in runs]
    finally:
        for run in runs:
            run.cancel()  # also tells the loop not to report failures after the first


def telling(snapshot: Snapshot) -> tuple[Part, ...]:
    """The arguments of TELL."""
    return (snapshot.order, encode(snapshot), seconds_to_keep(snapshot), flag(snapshot), snapshot.id)


def job_keys(id: str) -> tuple[str, str]:
    return job_key(id), watch_key(id)
