"""When commands travel, and how each reply finds who asked; against a server that answers as the test says."""

import asyncio
import time

from shared.cache.redis.batch import MAX_BATCH_CALLS, MAX_WAITING_BYTES, MAX_WAITING_CALLS
from shared.cache.redis.connection import Connection
from tests.contract.cache.cache_subject import HASTY, connect
from tests.contract.cache.scripted_redis import OK, ScriptedRedis, array, bulk
from tests.contract.cache.waiting import unavailable

# What travels together


async def test_gets_of_one_moment_are_one_request_that_names_each_key_once(
    scripted: ScriptedRedis, patient: Connection
) -> None:
    calls = [patient.get(key) for key in ("a", "b", "a", "c", "a")]
    asked = await scripted.next()
    assert asked.command == [b"MGET", b"a", b"b", b"c"]
    asked.answer(array(bulk(b"A"), bulk(None), bulk(b"C")))
    assert await asyncio.gather(*calls) == [b"A", None, b"A", b"C", b"A"]


async def test_a_thousand_askers_of_one_key_cost_one(scripted: ScriptedRedis, patient: Connection) -> None:
    calls = [patient.get("a") for _ in range(1_000)]
    asked = await scripted.next()
    assert asked.command == [b"MGET", b"a"]
    asked.answer(array(bulk(b"A")))
    assert await asyncio.gather(*calls) == [b"A"] * 1_000


async def test_tasks_of_one_moment_travel_together(scripted: ScriptedRedis, patient: Connection) -> None:
    async def ask(number: int) -> object:
        return await (patient.get(f"k{number}") if number % 2 else patient.execute("INCR", f"k{number}"))

    tasks = [asyncio.create_task(ask(number)) for number in range(6)]
    first = await scripted.next()
    assert first.together == 4
    assert [first.command, *[(await scripted.next()).command for _ in range(3)]] == [
        [b"INCR", b"k0"],
        [b"INCR", b"k2"],
        [b"INCR", b"k4"],
        [b"MGET", b"k1", b"k3", b"k5"],
    ]
    first.answer(b":10\r\n:12\r\n:14\r\n" + array(bulk(b"1"), bulk(b"3"), bulk(b"5")))
    assert await asyncio.gather(*tasks) == [10, b"1", 12, b"3", 14, b"5"]


async def test_what_is_asked_during_a_round_trip_waits_for_the_next(
    scripted: ScriptedRedis, patient: Connection
) -> None:
    first = patient.execute("FIRST")
    under_way = await scripted.next()
    later = []
    for number in range(5):
        later.append(patient.execute("LATER", number))
        await asyncio.sleep(0)
    assert scripted.asked.empty()
    under_way.answer(OK)
    assert await first == b"OK"
    asked = [await scripted.next() for _ in range(5)]
    assert asked[0].together == 5
    asked[0].answer(b":0\r\n:1\r\n:2\r\n:3\r\n:4\r\n")
    assert await asyncio.gather(*later) == [0, 1, 2, 3, 4]


async def test_a_batch_has_a_largest_number_of_calls(scripted: ScriptedRedis, patient: Connection) -> None:
    calls = [patient.get(f"k{number}") for number in range(2 * MAX_BATCH_CALLS + 3)]
    sizes = []
    for _ in range(3):
        asked = await scripted.next()
        sizes.append(len(asked.command) - 1)
        asked.answer(array(*map(bulk, asked.command[1:])))
    assert sizes == [MAX_BATCH_CALLS, MAX_BATCH_CALLS, 3]
    assert await asyncio.gather(*calls) == [b"k%d" % number for number in range(2 * MAX_BATCH_CALLS + 3)]


async def test_replies_may_come_in_any_pieces(scripted: ScriptedRedis, patient: Connection) -> None:
    calls = [patient.execute("ONE"), patient.get("a"), patient.execute("TWO")]
    asked = await scripted.next()
    for byte in array(bulk(b"1"), b":-2\r\n") + bulk(b"\r\n$") + array(bulk(b"A" * 9)):
        asked.answer(bytes([byte]))
        await asked.writer.drain()
        await asyncio.sleep(0)
    assert await asyncio.gather(*calls) == [[b"1", -2], b"A" * 9, b"\r\n$"]


# Bounds


async def test_who_finds_too_many_waiting_is_refused_at_once(scripted: ScriptedRedis, patient: Connection) -> None:
    first = patient.execute("FIRST")
    under_way = await scripted.next()
    waiting = [patient.get("a") for _ in range(MAX_WAITING_CALLS)]
    refused = patient.get("a")
    assert refused.done()
    assert "too many" in await unavailable(refused)
    under_way.answer(OK)
    (await scripted.next()).answer(array(bulk(b"A")))
    assert await asyncio.gather(first, *waiting) == [b"OK", *[b"A"] * MAX_WAITING_CALLS]
    await patient.ping()


async def test_too_many_bytes_waiting_are_refused_too(scripted: ScriptedRedis, patient: Connection) -> None:
    first = patient.execute("FIRST")
    under_way = await scripted.next()
    large = b"x" * (MAX_WAITING_BYTES // 4)
    waiting = [patient.execute("SET", "a", large) for _ in range(3)]
    assert "too many" in await unavailable(patient.execute("SET", "a", large))
    for call in waiting:  # who leaves makes room when the next batch is made
        call.cancel()
    under_way.answer(OK)
    assert await first == b"OK"
    await asyncio.sleep(0)
    call = patient.execute("SET", "b", large)
    (await scripted.next()).answer(OK)
    assert await call == b"OK"


# Deadlines, cancelling


async def test_a_late_reply_is_not_taken_for_the_answer_to_a_later_call(
    scripted: ScriptedRedis, hasty: Connection
) -> None:
    late = hasty.get("a")
    asked = await scripted.next()
    assert "0.05 s" in await unavailable(late)
    next_call, next_command = hasty.get("b"), hasty.execute("GET", "c")
    asked.answer(array(bulk(b"A")))
    command, gets = await scripted.next(), await scripted.next()
    assert (command.command, gets.command) == ([b"GET", b"c"], [b"MGET", b"b"])
    gets.answer(bulk(b"C") + array(bulk(b"B")))
    assert (await next_call, await next_command) == (b"B", b"C")
    assert len(scripted.connections) == 1


async def test_a_call_that_ran_out_of_time_before_it_was_sent_is_not_sent(
    scripted: ScriptedRedis, hasty: Connection
) -> None:
    first = hasty.execute("FIRST")
    asked = await scripted.next()
    assert await unavailable(first)
    second = hasty.execute("SECOND")
    assert "0.05 s" in await unavailable(second)
    third = hasty.execute("THIRD")
    asked.answer(OK)
    asked = await scripted.next()
    assert asked.command == [b"THIRD"]
    asked.answer(OK)
    assert await third == b"OK"


async def test_each_call_has_its_own_deadline(scripted: ScriptedRedis, hasty: Connection) -> None:
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
    assert scripted.asked.qsize() == 1


async def test_a_loop_that_was_held_up_takes_the_reply_that_is_there(
    scripted: ScriptedRedis, hasty: Connection
) -> None:
    """The deadline passes while the loop is busy and the reply is already in the socket."""
    call = hasty.get("a")
    (await scripted.next()).answer(array(bulk(b"A")))
    hold_up(3 * HASTY)
    assert await call == b"A"


async def test_a_loop_that_was_held_up_sends_what_waits_before_it_refuses(scripted: ScriptedRedis) -> None:
    async with connect(scripted.url, timeout_seconds=0.4) as connection:
        await connection.ping()
        call = connection.get("a")
        hold_up(0.5)
        (await scripted.next()).answer(array(bulk(b"A")))
        assert await call == b"A"


def hold_up(seconds: float) -> None:
    """Keep the loop from turning, as a long callback does."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def test_a_caller_that_leaves_disturbs_nobody(scripted: ScriptedRedis, patient: Connection) -> None:
    sent = [patient.get("a"), patient.get("a"), patient.execute("ONE"), patient.execute("TWO")]
    first = await scripted.next()
    queued = [patient.get("b"), patient.execute("THREE"), patient.execute("FOUR")]
    for leaver in (sent[0], sent[2], queued[0], queued[1]):
        leaver.cancel()
    first.answer(b":1\r\n:2\r\n" + array(bulk(b"A")))
    assert (await sent[1], await sent[3]) == (b"A", 2)
    assert (await scripted.next()).command == [b"TWO"]
    await scripted.next()
    four = await scripted.next()
    assert four.command == [b"FOUR"]
    assert four.together == 1
    four.answer(b":4\r\n")
    assert await queued[2] == 4
