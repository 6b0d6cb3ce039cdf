"""A channel's connection: nothing lost at its start, a slow reader felt by the sender, a dead peer noticed."""

import asyncio
from collections.abc import Callable

import pytest

from deploy.local.backends import Backend
from shared.cache.redis.address import Address
from shared.cache.redis.snapshots import RedisSnapshots
from shared.cache.redis.subscription import MAX_HELD_BYTES, PING_SECONDS, SILENCE_SECONDS, subscribe
from tests.contract.cache.cache_subject import connect, state
from tests.contract.cache.scripted_redis import ScriptedRedis, array, bulk
from tests.contract.cache.waiting import soon, unavailable, until

CONFIRMED = array(bulk(b"subscribe"), bulk(b"ch"), b":1\r\n")


def message(content: bytes) -> bytes:
    return array(bulk(b"message"), bulk(b"ch"), bulk(content))


def as_it_is(content: bytes) -> bytes | None:
    return content


async def test_messages_that_come_with_the_confirmation_are_heard(scripted: ScriptedRedis) -> None:
    async def confirm() -> None:
        asked = await scripted.next()
        assert asked.command == [b"SUBSCRIBE", b"ch"]
        asked.answer(CONFIRMED + message(b"1") + message(b"2")[:9])
        await asked.writer.drain()
        asked.answer(message(b"2")[9:] + message(b"3"))

    async with asyncio.TaskGroup() as group:
        group.create_task(confirm())
        async with subscribe(Address.parse(scripted.url), "ch", as_it_is) as heard:
            assert [await soon(anext(heard)) for _ in range(3)] == [b"1", b"2", b"3"]


async def test_what_came_before_the_connection_was_lost_is_heard_first(scripted: ScriptedRedis) -> None:
    async def confirm_and_leave() -> None:
        asked = await scripted.next()
        asked.answer(CONFIRMED + message(b"1") + message(b"2") + message(b"cut off")[:-5])
        asked.writer.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(confirm_and_leave())
        async with subscribe(Address.parse(scripted.url), "ch", as_it_is) as heard:
            await until(scripted.connections[0].is_closing)
            assert [await soon(anext(heard)) for _ in range(2)] == [b"1", b"2"]
            for _ in range(2):
                assert "closed" in await soon(unavailable(anext(heard)))


async def test_a_refused_subscription_is_refused_on_entering(scripted: ScriptedRedis) -> None:
    async def refuse() -> None:
        (await scripted.next()).answer(b"-NOPERM no\r\n")

    async with asyncio.TaskGroup() as group:
        group.create_task(refuse())
        entering = subscribe(Address.parse(scripted.url), "ch", as_it_is)
        assert "NOPERM" in await unavailable(entering.__aenter__())


async def test_a_slow_reader_stops_the_sender_and_loses_nothing(scripted: ScriptedRedis) -> None:
    total, size = 600, 100_000
    sent = 0

    async def flood() -> None:
        nonlocal sent
        asked = await scripted.next()
        asked.answer(CONFIRMED)
        for number in range(total):
            asked.answer(message(b"%06d" % number + b"x" * size))
            await asked.writer.drain()
            sent += 1

    async with asyncio.TaskGroup() as group:
        flooding = group.create_task(flood())
        async with subscribe(Address.parse(scripted.url), "ch", as_it_is) as heard:
            assert (await soon(anext(heard)))[:6] == b"000000"
            await no_longer_changes(lambda: sent)
            assert not flooding.done()
            assert sent * size < MAX_HELD_BYTES + 16 * 1_048_576, "what the kernel and the sender hold comes on top"
            assert [int((await soon(anext(heard)))[:6]) for _ in range(total - 1)] == list(range(1, total))


async def test_a_reader_that_leaves_while_waiting_can_come_back(redis_url: str, job: str, gateway: str) -> None:
    async with connect(redis_url) as connection:
        snapshots = RedisSnapshots(connection)
        async with snapshots.listen(gateway) as heard:
            waiting = asyncio.ensure_future(anext(heard))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await snapshots.watch(gateway, [job])
            await snapshots.tell(state(job, 1))
            assert await soon(anext(heard)) == state(job, 1)


async def test_a_silent_peer_is_noticed_and_a_quiet_one_is_not(
    own_redis: Backend, redis_url: str, job: str, gateway: str
) -> None:
    assert own_redis.process is not None
    loop = asyncio.get_running_loop()
    async with connect(own_redis.address) as frozen, connect(redis_url) as quiet:
        async with RedisSnapshots(frozen).listen("gw") as never, RedisSnapshots(quiet).listen(gateway) as heard:
            await own_redis.process.freeze()
            began = loop.time()
            assert "silent" in await unavailable(asyncio.wait_for(anext(never), 20))
            assert SILENCE_SECONDS - 1 < loop.time() - began < SILENCE_SECONDS + PING_SECONDS + 1
            await RedisSnapshots(quiet).watch(gateway, [job])
            await RedisSnapshots(quiet).tell(state(job, 1))
            assert await soon(anext(heard)) == state(job, 1)
        await own_redis.process.thaw()


async def no_longer_changes(value: Callable[[], int]) -> None:
    """Return once the value has been the same for a while."""
    async with asyncio.timeout(20):
        before = -1
        while before != (before := value()):
            await asyncio.sleep(0.2)
