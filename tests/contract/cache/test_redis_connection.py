"""What a server may do to a connection: err, fall silent, talk nonsense, leave; and how connections open and close."""

import asyncio
import contextlib

import pytest

from shared.cache.redis.connection import RETRY_SECONDS, SILENCE_SECONDS, Connection
from shared.cache.redis.script import Script
from shared.cache.redis.wire import DIAL_SECONDS
from tests.contract.cache.cache_subject import connect
from tests.contract.cache.scripted_redis import OK, PONG, ScriptedRedis, array, bulk
from tests.contract.cache.waiting import back, soon, unavailable, until


async def test_an_error_is_the_callers_alone(scripted: ScriptedRedis, patient: Connection) -> None:
    calls = [patient.execute("ONE"), patient.execute("TWO"), patient.get("a")]
    (await scripted.next()).answer(b"-WRONGTYPE no\r\n" + OK + array(bulk(b"A")))
    assert "WRONGTYPE" in await unavailable(calls[0])
    assert await asyncio.gather(*calls[1:]) == [b"OK", b"A"]


async def test_an_error_for_the_gets_is_every_getters(scripted: ScriptedRedis, patient: Connection) -> None:
    calls = [patient.get("a"), patient.execute("ONE"), patient.get("b")]
    (await scripted.next()).answer(OK + b"-OOM no\r\n")
    assert "OOM" in await unavailable(calls[0])
    assert "OOM" in await unavailable(calls[2])
    assert await calls[1] == b"OK"


async def test_a_script_the_server_does_not_know_travels_again_with_its_source(
    scripted: ScriptedRedis, patient: Connection
) -> None:
    script = Script(b"return 1", "5a")
    run, other = patient.run(script, ["k"], ["x", 2]), patient.execute("OTHER")
    asked = await scripted.next()
    assert asked.command == [b"EVALSHA", b"5a", b"1", b"k", b"x", b"2"]
    later = patient.execute("LATER")
    asked.answer(b"-NOSCRIPT No matching script.\r\n" + OK)
    assert await other == b"OK"
    await scripted.next()
    again = await scripted.next()
    assert again.command == [b"EVAL", b"return 1", b"1", b"k", b"x", b"2"]
    again.answer(b":1\r\n" + OK)
    assert (await run, await later) == (1, b"OK")


async def test_a_connection_lost_in_a_round_trip_fails_it_and_serves_the_rest(
    scripted: ScriptedRedis, patient: Connection
) -> None:
    sent = [patient.get("a"), patient.execute("ONE")]
    asked = await scripted.next()
    queued = patient.execute("TWO")
    asked.writer.transport.abort()
    for call in sent:
        await unavailable(call)
    await scripted.next()
    asked = await scripted.next()
    assert asked.command == [b"TWO"]
    asked.answer(OK)
    assert await queued == b"OK"
    assert len(scripted.connections) == 2


async def test_a_server_that_falls_silent_is_left_for_a_new_connection(
    scripted: ScriptedRedis, hasty: Connection
) -> None:
    await unavailable(hasty.get("a"))
    await scripted.next()
    await until(lambda: len(scripted.connections) == 2, within=SILENCE_SECONDS + 1)
    await back(hasty.ping, within=1)


async def test_a_slow_server_that_goes_on_answering_keeps_its_connection(
    scripted: ScriptedRedis, hasty: Connection
) -> None:
    loop, commands = asyncio.get_running_loop(), 8
    calls = [hasty.execute("COMMAND", number) for number in range(commands)]
    asked = [await scripted.next() for _ in range(commands)]
    began = loop.time()
    for each in asked:  # each reply comes before the patience is over, all of them together long after
        each.answer(OK)
        await asyncio.sleep(2 * SILENCE_SECONDS / commands)
    assert loop.time() - began > SILENCE_SECONDS
    for call in calls:
        await unavailable(call)
    await back(hasty.ping)
    assert len(scripted.connections) == 1


@pytest.mark.parametrize("noise", [b"?what\r\n", b":1\r\n:2\r\n"], ids=["not RESP", "more than was asked"])
async def test_noise_costs_the_connection_and_nobody_takes_it_for_an_answer(
    scripted: ScriptedRedis, patient: Connection, noise: bytes
) -> None:
    call = patient.execute("ONE")
    (await scripted.next()).answer(noise)
    await soon(unavailable(call), within=1)
    call = patient.execute("TWO")
    (await scripted.next()).answer(OK)
    assert await call == b"OK"
    assert len(scripted.connections) == 2


async def test_a_reply_that_nobody_asked_for_costs_the_connection(scripted: ScriptedRedis, patient: Connection) -> None:
    scripted.connections[0].write(b"+OK\r\n")
    await until(lambda: len(scripted.connections) == 2)
    call = patient.get("a")
    (await scripted.next()).answer(array(bulk(b"A")))
    assert await call == b"A"


async def test_a_server_that_is_loading_is_not_there_yet(scripted: ScriptedRedis) -> None:
    scripted.greet_with = b"-LOADING Redis is loading the dataset in memory\r\n"
    async with connect(scripted.url) as connection:
        assert "LOADING" in await unavailable(connection.ping())
        scripted.greet_with = PONG
        await back(connection.ping, within=1)


async def test_a_server_that_takes_connections_and_says_nothing_is_not_there(scripted: ScriptedRedis) -> None:
    scripted.greet_with = b""
    async with connect(scripted.url) as connection:
        assert "did not answer" in await soon(unavailable(connection.ping()), within=DIAL_SECONDS + 1)
        assert "did not answer" in await soon(unavailable(connection.ping()), within=0.1)
        scripted.greet_with = PONG
        await back(connection.ping)


@pytest.mark.parametrize("turned_away", [True, False], ids=["turned away", "cut off once let in"])
async def test_a_server_that_keeps_nobody_is_not_stormed(scripted: ScriptedRedis, turned_away: bool) -> None:
    if turned_away:
        scripted.greet_with = b"-ERR max number of clients reached\r\n"
    seconds, shortest = 0.8, min(RETRY_SECONDS)
    async with connect(scripted.url):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for known in range(1, 1_000):
                    await until(lambda known=known: len(scripted.greetings) >= known)  # type: ignore[misc]
                    if not turned_away:
                        scripted.connections[-1].close()
    assert 2 <= len(scripted.greetings) <= 1 + seconds / shortest


async def test_the_greeting_says_who_we_are_and_chooses_the_database(scripted: ScriptedRedis) -> None:
    async with connect(f"redis://me:p%40ss@127.0.0.1:{scripted.port}/3") as connection:
        await connection.ping()
    assert scripted.greetings[:3] == [[b"AUTH", b"me", b"p@ss"], [b"SELECT", b"3"], [b"PING"]]


# Opening and closing


async def test_calls_outside_are_refused_and_what_waits_at_the_end_is_too(scripted: ScriptedRedis) -> None:
    connection = connect(scripted.url)
    assert "not been opened" in await unavailable(connection.ping())
    async with connection:
        await connection.ping()
        sent = connection.get("a")
        await scripted.next()
        queued = connection.get("b")
    for call in (sent, queued, connection.get("c")):
        assert "closed" in await unavailable(call)


async def test_closing_leaves_no_socket(scripted: ScriptedRedis, patient: Connection) -> None:
    async with connect(scripted.url) as other:
        await other.ping()
    _, writer = scripted.connections
    async with asyncio.timeout(5):
        await writer.wait_closed()
