"""When commands travel, and how each reply finds who asked; against a server that answers as the test says."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from shared.cache.redis.batch import MAX_BATCH_BYTES, MAX_BATCH_CALLS, MAX_WAITING_BYTES, MAX_WAITING_CALLS
from shared.cache.redis.connection import SILENCE_SECONDS, Connection
from shared.cache.redis.script import Script
from tests.contract.cache.cache_subject import connect
from tests.contract.cache.scripted_redis import OK, ScriptedRedis, array, bulk, scripted_redis
from tests.contract.cache.waiting import back, soon, unavailable, until

HASTY = 0.05
"""The gateway's deadline, in seconds."""


@pytest.fixture
async def server() -> AsyncIterator[ScriptedRedis]:
    async with scripted_redis() as scripted:
        yield scripted


@pytest.fixture
async def connection(server: ScriptedRedis) -> AsyncIterator[Connection]:
    async with connect(server.url) as connection:
        await connection.ping()
        yield connection


@pytest.fixture
async def hasty(server: ScriptedRedis) -> AsyncIterator[Connection]:
    async with connect(server.url, HASTY) as connection:
        await back(connection.ping)
        yield connection


# What travels together


async def test_gets_of_one_moment_are_one_request_that_names_each_key_once(
    server: ScriptedRedis, connection: Connection
) -> None:
    calls = [connection.get(key) for key in ("a", "b", "a", "c", "a")]
    asked = await server.next()
    assert asked.command == [b"MGET", b"a", b"b", b"c"]
    asked.answer(array(bulk(b"A"), bulk(None), bulk(b"C")))
    assert await asyncio.gather(*calls) == [b"A", None, b"A", b"C", b"A"]


async def test_a_thousand_askers_of_one_key_cost_one(server: ScriptedRedis, connection: Connection) -> None:
    calls = [connection.get("a") for _ in range(1_000)]
    asked = await server.next()
    assert asked.command == [b"MGET", b"a"]
    asked.answer(array(bulk(b"A")))
    assert await asyncio.gather(*calls) == [b"A"] * 1_000


async def test_tasks_of_one_moment_travel_together(server: ScriptedRedis, connection: Connection) -> None:
    async def ask(number: int) -> object:
        return await (connection.get(f"k{number}") if number % 2 else connection.execute("INCR", f"k{number}"))

    tasks = [asyncio.create_task(ask(number)) for number in range(6)]
    first = await server.next()
    assert first.together == 4
    assert [first.command, *[(await server.next()).command for _ in range(3)]] == [
        [b"INCR", b"k0"],
        [b"INCR", b"k2"],
        [b"INCR", b"k4"],
        [b"MGET", b"k1", b"k3", b"k5"],
    ]
    first.answer(b":10\r\n:12\r\n:14\r\n" + array(bulk(b"1"), bulk(b"3"), bulk(b"5")))
    assert await asyncio.gather(*tasks) == [10, b"1", 12, b"3", 14, b"5"]


async def test_what_is_asked_during_a_round_trip_waits_for_the_next(
    server: ScriptedRedis, connection: Connection
) -> None:
    first = connection.execute("FIRST")
    under_way = await server.next()
    later = []
    for number in range(5):
        later.append(connection.execute("LATER", number))
        await asyncio.sleep(0)
    assert server.asked.empty()
    under_way.answer(OK)
    assert await first == b"OK"
    asked = [await server.next() for _ in range(5)]
    assert asked[0].together == 5
    asked[0].answer(b":0\r\n:1\r\n:2\r\n:3\r\n:4\r\n")
    assert await asyncio.gather(*later) == [0, 1, 2, 3, 4]


async def test_a_batch_has_a_largest_number_of_calls(server: ScriptedRedis, connection: Connection) -> None:
    calls = [connection.get(f"k{number}") for number in range(2 * MAX_BATCH_CALLS + 3)]
    sizes = []
    for _ in range(3):
        asked = await server.next()
        sizes.append(len(asked.command) - 1)
        asked.answer(array(*map(bulk, asked.command[1:])))
    assert sizes == [MAX_BATCH_CALLS, MAX_BATCH_CALLS, 3]
    assert await asyncio.gather(*calls) == [b"k%d" % number for number in range(2 * MAX_BATCH_CALLS + 3)]


async def test_a_batch_has_a_largest_size_and_a_larger_command_goes_alone(
    server: ScriptedRedis, connection: Connection
) -> None:
    large = b"x" * (MAX_BATCH_BYTES + 1)
    calls = [connection.execute("SET", "a", large), connection.execute("SET", "b", large)]
    for number in range(2):
        asked = await server.next()
        assert server.asked.empty()
        asked.answer(b":%d\r\n" % number)
    assert await asyncio.gather(*calls) == [0, 1]


async def test_replies_may_come_in_any_pieces(server: ScriptedRedis, connection: Connection) -> None:
    calls = [connection.execute("ONE"), connection.get("a"), connection.execute("TWO")]
    asked = await server.next()
    for byte in array(bulk(b"1"), b":-2\r\n") + bulk(b"\r\n$") + array(bulk(b"A" * 9)):
        asked.answer(bytes([byte]))
        await asked.writer.drain()
        await asyncio.sleep(0)
    assert await asyncio.gather(*calls) == [[b"1", -2], b"A" * 9, b"\r\n$"]


# Bounds


async def test_who_finds_too_many_waiting_is_refused_at_once(server: ScriptedRedis, connection: Connection) -> None:
    first = connection.execute("FIRST")
    under_way = await server.next()
    waiting = [connection.get("a") for _ in range(MAX_WAITING_CALLS)]
    refused = connection.get("a")
    assert refused.done()
    assert "too many" in await unavailable(refused)
    under_way.answer(OK)
    (await server.next()).answer(array(bulk(b"A")))
    assert await asyncio.gather(first, *waiting) == [b"OK", *[b"A"] * MAX_WAITING_CALLS]
    await connection.ping()


async def test_too_many_bytes_waiting_are_refused_too(server: ScriptedRedis, connection: Connection) -> None:
    first = connection.execute("FIRST")
    under_way = await server.next()
    large = b"x" * (MAX_WAITING_BYTES // 4)
    waiting = [connection.execute("SET", "a", large) for _ in range(3)]
    assert "too many" in await unavailable(connection.execute("SET", "a", large))
    for call in waiting:  # who leaves makes room when the next batch is made
        call.cancel()
    under_way.answer(OK)
    assert await first == b"OK"
    await asyncio.sleep(0)
    call = connection.execute("SET", "b", large)
    (await server.next()).answer(OK)
    assert await call == b"OK"


# Deadlines, cancelling


async def test_a_late_reply_is_not_taken_for_the_answer_to_a_later_call(
    server: ScriptedRedis, hasty: Connection
) -> None:
    late = hasty.get("a")
    asked = await server.next()
    assert "0.05 s" in await unavailable(late)
    next_call, next_command = hasty.get("b"), hasty.execute("GET", "c")
    asked.answer(array(bulk(b"A")))
    command, gets = await server.next(), await server.next()
    assert (command.command, gets.command) == ([b"GET", b"c"], [b"MGET", b"b"])
    gets.answer(bulk(b"C") + array(bulk(b"B")))
    assert (await next_call, await next_command) == (b"B", b"C")
    assert len(server.connections) == 1


async def test_a_call_that_ran_out_of_time_before_it_was_sent_is_not_sent(
    server: ScriptedRedis, hasty: Connection
) -> None:
    first = hasty.execute("FIRST")
    asked = await server.next()
    assert await unavailable(first)
    second = hasty.execute("SECOND")
    assert "0.05 s" in await unavailable(second)
    third = hasty.execute("THIRD")
    asked.answer(OK)
    asked = await server.next()
    assert asked.command == [b"THIRD"]
    asked.answer(OK)
    assert await third == b"OK"


async def test_each_call_has_its_own_deadline(server: ScriptedRedis, hasty: Connection) -> None:
    loop = asyncio.get_running_loop()

    async def time_to_refusal() -> float:
        began = loop.time()
        await unavailable(hasty.execute("COMMAND"))
        return loop.time() - began

    timing = []
    for _ in range(6):  # some in the batch under way, the others waiting behind it
        timing.append(asyncio.create_task(time_to_refusal()))
        await asyncio.sleep(HASTY / 5)
    took = await asyncio.gather(*timing)
    assert all(HASTY - 0.002 <= each < HASTY + 0.2 for each in took), took
    assert server.asked.qsize() == 1


async def test_a_loop_that_was_held_up_takes_the_reply_that_is_there(server: ScriptedRedis, hasty: Connection) -> None:
    """The deadline passes while the loop is busy and the reply is already in the socket."""
    call = hasty.get("a")
    (await server.next()).answer(array(bulk(b"A")))
    hold_up_until = time.perf_counter() + 3 * HASTY
    while time.perf_counter() < hold_up_until:
        pass
    assert await call == b"A"


async def test_a_caller_that_leaves_disturbs_nobody(server: ScriptedRedis, connection: Connection) -> None:
    sent = [connection.get("a"), connection.get("a"), connection.execute("ONE"), connection.execute("TWO")]
    first = await server.next()
    queued = [connection.get("b"), connection.execute("THREE"), connection.execute("FOUR")]
    for leaver in (sent[0], sent[2], queued[0], queued[1]):
        leaver.cancel()
    first.answer(b":1\r\n:2\r\n" + array(bulk(b"A")))
    assert (await sent[1], await sent[3]) == (b"A", 2)
    assert (await server.next()).command == [b"TWO"]
    await server.next()
    four = await server.next()
    assert four.command == [b"FOUR"]
    assert four.together == 1
    four.answer(b":4\r\n")
    assert await queued[2] == 4


# What a server may do


async def test_an_error_is_the_callers_alone(server: ScriptedRedis, connection: Connection) -> None:
    calls = [connection.execute("ONE"), connection.execute("TWO"), connection.get("a")]
    (await server.next()).answer(b"-WRONGTYPE no\r\n" + OK + array(bulk(b"A")))
    assert "WRONGTYPE" in await unavailable(calls[0])
    assert await asyncio.gather(*calls[1:]) == [b"OK", b"A"]


async def test_an_error_for_the_gets_is_every_getters(server: ScriptedRedis, connection: Connection) -> None:
    calls = [connection.get("a"), connection.execute("ONE"), connection.get("b")]
    (await server.next()).answer(OK + b"-OOM no\r\n")
    assert "OOM" in await unavailable(calls[0])
    assert "OOM" in await unavailable(calls[2])
    assert await calls[1] == b"OK"


async def test_a_script_the_server_does_not_know_travels_again_with_its_source(
    server: ScriptedRedis, connection: Connection
) -> None:
    script = Script(b"return 1", "5a")
    run, other = connection.run(script, ["k"], ["x", 2]), connection.execute("OTHER")
    asked = await server.next()
    assert asked.command == [b"EVALSHA", b"5a", b"1", b"k", b"x", b"2"]
    later = connection.execute("LATER")
    asked.answer(b"-NOSCRIPT No matching script.\r\n" + OK)
    assert await other == b"OK"
    await server.next()
    again = await server.next()
    assert again.command == [b"EVAL", b"return 1", b"1", b"k", b"x", b"2"]
    again.answer(b":1\r\n" + OK)
    assert (await run, await later) == (1, b"OK")


async def test_a_connection_lost_in_a_round_trip_fails_it_and_serves_the_rest(
    server: ScriptedRedis, connection: Connection
) -> None:
    sent = [connection.get("a"), connection.execute("ONE")]
    asked = await server.next()
    queued = connection.execute("TWO")
    asked.writer.transport.abort()
    for call in sent:
        await unavailable(call)
    await server.next()
    asked = await server.next()
    assert asked.command == [b"TWO"]
    asked.answer(OK)
    assert await queued == b"OK"
    assert len(server.connections) == 2


async def test_a_server_that_falls_silent_is_left_for_a_new_connection(
    server: ScriptedRedis, hasty: Connection
) -> None:
    await unavailable(hasty.get("a"))
    await server.next()
    await until(lambda: len(server.connections) == 2, within=SILENCE_SECONDS + 1)
    await back(hasty.ping, within=1)


async def test_a_slow_server_that_goes_on_answering_keeps_its_connection(
    server: ScriptedRedis, hasty: Connection
) -> None:
    loop, commands = asyncio.get_running_loop(), 8
    calls = [hasty.execute("COMMAND", number) for number in range(commands)]
    asked = [await server.next() for _ in range(commands)]
    began = loop.time()
    for each in asked:  # each reply comes before the patience is over, all of them together long after
        each.answer(OK)
        await asyncio.sleep(2 * SILENCE_SECONDS / commands)
    assert loop.time() - began > SILENCE_SECONDS
    for call in calls:
        await unavailable(call)
    await back(hasty.ping)
    assert len(server.connections) == 1


@pytest.mark.parametrize("noise", [b"?what\r\n", b":1\r\n:2\r\n"], ids=["not RESP", "more than was asked"])
async def test_noise_costs_the_connection_and_nobody_takes_it_for_an_answer(
    server: ScriptedRedis, connection: Connection, noise: bytes
) -> None:
    call = connection.execute("ONE")
    (await server.next()).answer(noise)
    await soon(unavailable(call), within=1)
    call = connection.execute("TWO")
    (await server.next()).answer(OK)
    assert await call == b"OK"
    assert len(server.connections) == 2


async def test_a_reply_that_nobody_asked_for_costs_the_connection(
    server: ScriptedRedis, connection: Connection
) -> None:
    server.connections[0].write(b"+OK\r\n")
    await until(lambda: len(server.connections) == 2)
    call = connection.get("a")
    (await server.next()).answer(array(bulk(b"A")))
    assert await call == b"A"


async def test_a_server_that_is_loading_is_not_there_yet(server: ScriptedRedis) -> None:
    server.greet_with = b"-LOADING Redis is loading the dataset in memory\r\n"
    async with connect(server.url) as connection:
        assert "LOADING" in await unavailable(connection.ping())
        server.greet_with = b"+PONG\r\n"
        await back(connection.ping, within=1)


async def test_the_greeting_says_who_we_are_and_chooses_the_database(server: ScriptedRedis) -> None:
    async with connect(f"redis://me:p%40ss@127.0.0.1:{server.port}/3") as connection:
        await connection.ping()
    assert server.greetings[:3] == [[b"AUTH", b"me", b"p@ss"], [b"SELECT", b"3"], [b"PING"]]


# Opening and closing


async def test_calls_outside_are_refused_and_what_waits_at_the_end_is_too(server: ScriptedRedis) -> None:
    connection = connect(server.url)
    assert "not been opened" in await unavailable(connection.ping())
    async with connection:
        await connection.ping()
        sent = connection.get("a")
        await server.next()
        queued = connection.get("b")
    for call in (sent, queued, connection.get("c")):
        assert "closed" in await unavailable(call)


async def test_closing_leaves_no_socket(server: ScriptedRedis, connection: Connection) -> None:
    async with connect(server.url) as other:
        await other.ping()
    _, writer = server.connections
    async with asyncio.timeout(5):
        await writer.wait_closed()
