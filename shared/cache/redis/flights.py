"""Results and single flights in Redis: equal work is run once. The `Flights` of gateways, the `Landing` of workers.

    result    1 3600 job_…⏎1 0000000000008708 T {"id": …
              │ │    │      └ the snapshot, as `encoding` writes it
              │ │    └ id
              │ └ cache_for, seconds: less what is left to live, it is the age
              └ version of this encoding
    flight    1U job_…⏎{"v": …
              ││ │      └ the head, any bytes
              ││ └ id
              │└ U unconfirmed, C confirmed
              └ version

What is malformed, or of a version from the future, is nothing. Both keys share the tag `{cache key}`.
"""

from typing import Final

from shared.cache.contract import Flight, Hit, Joined, Led, Result
from shared.cache.redis.connection import Connection
from shared.cache.redis.encoding import decode, encode
from shared.cache.redis.script import Script
from shared.cache.redis.wire import Reply
from shared.clock import MILLISECONDS

_ENTER: Final = Script.beside(__file__, "enter.lua")
_CONFIRM: Final = Script.beside(__file__, "confirm.lua")
_LAND: Final = Script.beside(__file__, "land.lua")


class RedisFlights:
    """See the Protocols. connection: open while this is used."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def enter(self, key: str, flight: Flight, *, ttl_seconds: int, over: str = "") -> Hit | Joined | Led:
        return _read(await self._connection.run(_ENTER, _keys(key), (_flight(flight), ttl_seconds, over)))

    async def lead(self, key: str, flight: Flight, *, ttl_seconds: int) -> None:
        await self._connection.execute("SET", _keys(key)[1], _flight(flight), "EX", ttl_seconds)

    async def confirm(self, key: str, id: str, *, ttl_seconds: int) -> None:
        await self._connection.run(_CONFIRM, _keys(key)[1:], (id, ttl_seconds))

    async def land(self, key: str, result: Result) -> None:
        left = result.cache_for_seconds * MILLISECONDS - round(result.age_seconds * MILLISECONDS)
        id = result.snapshot.id
        arguments = (id, _result(result), left) if left > 0 else (id, "", 0)
        await self._connection.run(_LAND, _keys(key), arguments)

    async def forget(self, key: str, id: str) -> None:
        await self._connection.run(_LAND, _keys(key), (id, "", 0))


def _keys(key: str) -> tuple[str, str]:
    return f"result:{{{key}}}", f"flight:{{{key}}}"


def _flight(flight: Flight) -> bytes:
    return b"1U %b\n%b" % (flight.id.encode(), flight.head)


def _result(result: Result) -> bytes:
    return b"1 %d %b\n%b" % (result.cache_for_seconds, result.snapshot.id.encode(), encode(result.snapshot))


def _read(reply: Reply) -> Hit | Joined | Led:
    """What the script answered; it has checked the headers."""
    match reply:
        case [b"H", bytes(value), int(left)]:
            return _hit(value, left)
        case [b"J", bytes(value)]:
            header, _, head = value.partition(b"\n")
            mark, _, id = header.partition(b" ")
            return Joined(Flight(id.decode(errors="replace"), head), confirmed=mark == b"1C")
    return Led()


def _hit(value: bytes, left: int) -> Hit | Led:
    header, _, body = value.partition(b"\n")
    _, cache_for, id = header.split(b" ")
    snapshot = decode(id.decode(errors="replace"), body)
    if snapshot is None:
        return Led()
    return Hit(snapshot, max(0, int(cache_for) * MILLISECONDS - left) // MILLISECONDS, left // MILLISECONDS)
