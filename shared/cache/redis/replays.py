"""What keyed requests came to, in Redis: a retry is answered without asking the store. The `Replays` of gateways.

    idem:<hash>    1 9f86d0… job_…      version, fingerprint, id

What is malformed, or of a version from the future, is nothing.
"""

from shared.cache.contract import Replay
from shared.cache.redis.connection import Connection


class RedisReplays:
    """See the Protocol. connection: open while this is used."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def recall(self, hash: str) -> Replay | None:
        value = await self._connection.get(_key(hash))
        match value.split(b" ") if isinstance(value, bytes) else None:
            case [b"1", fingerprint, id]:
                return Replay(id.decode(errors="replace"), fingerprint.decode(errors="replace"))
        return None

    async def remember(self, hash: str, replay: Replay, *, ttl_seconds: int) -> None:
        await self._connection.execute("SET", _key(hash), f"1 {replay.fingerprint} {replay.id}", "EX", ttl_seconds)


def _key(hash: str) -> str:
    return f"idem:{hash}"
