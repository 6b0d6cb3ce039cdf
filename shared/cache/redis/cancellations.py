"""Calls to a worker whose job is to be canceled: the `CancelCaller` of gateways, the `CancelCalls` of workers.

A channel a worker, and no key: a call that nobody hears is made up for by the worker's next renewal of the lease.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from shared.cache.redis.connection import Connection
from shared.cache.redis.subscription import subscribe, text


class RedisCancellations:
    """See the Protocols. connection: open while this is used; `calls` opens one of its own to the same address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def call(self, worker: str, id: str) -> None:
        await self._connection.execute("PUBLISH", _channel(worker), id)

    def calls(self, worker: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        return subscribe(self._connection.address, _channel(worker), text)


def _channel(worker: str) -> str:
    return f"worker:{worker}"
