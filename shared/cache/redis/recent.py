"""The jobs that a tenant's gateways accepted lately, in Redis: a list a tenant. The `Recent` of gateways."""

import asyncio
from collections.abc import Sequence
from typing import Final

from shared.cache.lifetimes import RECENT_JOBS, RECENT_TTL_SECONDS
from shared.cache.redis.batch import Answer
from shared.cache.redis.connection import Connection
from shared.cache.redis.encoding import decode_message, encode_message
from shared.cache.redis.script import Script
from shared.cache.redis.snapshots import TELL, job_keys, telling
from shared.cache.redis.wire import Part
from shared.models.public import Snapshot

_RECENT: Final = Script.beside(__file__, "recent.lua")
_AT_ONCE: Final = 200
"""Of one tenant, in one call."""
_FORGET: Final = Script.beside(__file__, "forget.lua")


class RedisRecent:
    """See the Protocol. connection: open while this is used."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._accepted: dict[str, list[bytes]] = {}

    def add(self, tenant: str, accepted: Snapshot) -> None:
        self._connection.run(TELL, job_keys(accepted.id), telling(accepted)).add_done_callback(_heard)
        if not self._accepted:
            self._loop.call_soon(self._list)
        messages = self._accepted.setdefault(tenant, [])
        messages.append(encode_message(accepted))
        if len(messages) >= _AT_ONCE:
            self._list()

    def _list(self) -> None:
        """List what was accepted in this turn of the loop, one call a tenant."""
        accepted, self._accepted = self._accepted, {}
        for tenant, messages in accepted.items():
            arguments: tuple[Part, ...] = (RECENT_JOBS, RECENT_TTL_SECONDS, *messages)
            self._connection.run(_RECENT, (_key(tenant),), arguments).add_done_callback(_heard)

    async def forget(self, tenant: str, id: str) -> None:
        self._list()  # what is forgotten may have been accepted a moment ago
        await self._connection.run(_FORGET, (_key(tenant),), (f"{id}\n",))

    async def newest(self, tenant: str) -> Sequence[Snapshot]:
        found = await self._connection.execute("LRANGE", _key(tenant), 0, -1)
        return [snapshot for each in found if (snapshot := decode_message(each)) is not None]


def _heard(answer: Answer) -> None:
    """Nobody waits for it: its failure is nobody's."""
    if not answer.cancelled():
        answer.exception()


def _key(tenant: str) -> str:
    return f"recent:{tenant}"
