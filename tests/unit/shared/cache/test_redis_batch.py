"""Batches and the backlog, without a connection: what is taken, in what order, and what is never counted twice."""

import asyncio

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cache.redis.batch import (
    MAX_BATCH_BYTES,
    MAX_BATCH_CALLS,
    MAX_WAITING_BYTES,
    Backlog,
    Batch,
    Call,
    Command,
    Get,
)
from shared.cache.redis.wire import pack
from shared.errors import CacheUnavailable


def get(key: str, deadline: float = 1.0) -> Get:
    return Get(asyncio.get_running_loop().create_future(), deadline, key)


def command(name: str, deadline: float = 1.0, size: int = 0) -> Command:
    parts = (name, "x" * size)
    return Command(asyncio.get_running_loop().create_future(), deadline, parts, pack(parts))


def backlog_of(*calls: Call) -> Backlog:
    backlog = Backlog()
    assert all(backlog.add(call) for call in calls)
    return backlog


def sent(batch: Batch) -> list[list[bytes]]:
    parser = hiredis.Reader()
    parser.feed(batch.pack())
    return [parser.gets() for _ in range(batch.owed)]


def refusal(call: Call) -> str:
    error = call.answer.exception()
    assert isinstance(error, CacheUnavailable)
    return str(error)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.booleans()), max_size=300))
async def test_every_caller_that_stayed_gets_its_own_reply(wanted: list[tuple[bool, int, bool]]) -> None:
    """(is a get, of which key, leaves before it is sent)"""
    calls = [get(f"k{key}") if is_get else command(f"c{place}") for place, (is_get, key, _) in enumerate(wanted)]
    backlog = backlog_of(*calls)
    for call, (_, _, leaves) in zip(calls, wanted, strict=True):
        if leaves:
            call.answer.cancel()
    rounds = 0
    while batch := Batch(backlog, 0.0):
        requests = sent(batch)
        replies = [[b"of " + key for key in each[1:]] if each[0] == b"MGET" else b"of " + each[0] for each in requests]
        assert [batch.receive([reply]) for reply in replies] == [False] * (len(replies) - 1) + [True]
        assert batch.settle() == []
        rounds += 1
    for place, (call, (is_get, key, leaves)) in enumerate(zip(calls, wanted, strict=True)):
        assert call.answer.cancelled() == leaves
        if not leaves:
            assert call.answer.result() == (b"of k%d" % key if is_get else b"of c%d" % place)
    assert rounds <= 1 + len(wanted) // MAX_BATCH_CALLS


async def test_room_comes_back_however_a_call_leaves_the_backlog() -> None:
    half = MAX_WAITING_BYTES // 2
    backlog = Backlog()
    for leave in ("taken", "expired", "refused", "cancelled"):
        first, second = command("a", size=half - 100), command("b", size=half - 100)
        assert backlog.add(first)
        assert backlog.add(second)
        assert not backlog.add(command("c", size=half))
        match leave:
            case "taken":
                assert [backlog.take(), backlog.take(), backlog.take()] == [first, second, None]
            case "expired":
                backlog.expire(2.0, "late")
                assert [refusal(first), refusal(second)] == ["late", "late"]
            case "refused":
                backlog.refuse_all("lost")
                assert [refusal(first), refusal(second)] == ["lost", "lost"]
            case _:
                first.answer.cancel()
                second.answer.cancel()
                backlog.expire(0.0, "not yet")
        assert not backlog


async def test_only_those_whose_time_is_up_expire() -> None:
    early, late = command("early", 1.0), get("late", 2.0)
    backlog = backlog_of(early, late)
    assert backlog.deadline == 1.0
    backlog.expire(1.0, "over")
    assert refusal(early) == "over"
    assert not late.answer.done()
    assert backlog.deadline == 2.0


async def test_what_expires_under_way_keeps_its_place() -> None:
    calls: list[Call] = [command("a", 1.0), command("b", 3.0), get("k", 2.0), get("k", 4.0)]
    batch = Batch(backlog_of(*calls), 0.0)
    assert batch.deadline == 1.0
    batch.expire(2.0, "over")
    assert batch.deadline == 3.0
    assert batch.receive([b"A", b"B", [b"K"]])
    batch.settle()
    assert [refusal(calls[0]), refusal(calls[2])] == ["over", "over"]
    assert [calls[1].answer.result(), calls[3].answer.result()] == [b"B", b"K"]
    assert batch.deadline is None


async def test_what_is_sent_late_has_a_little_time_left() -> None:
    late, early = command("late", 1.0), command("early", 9.0)
    batch = Batch(backlog_of(late, early), sent_at=2.0, least=3.0)
    batch.expire(2.9, "over")
    assert batch.deadline == 3.0
    batch.expire(3.0, "over")
    assert refusal(late) == "over"
    assert batch.deadline == 9.0


async def test_what_goes_again_goes_before_all_others_in_its_old_order() -> None:
    backlog = backlog_of(command("c"))
    again = [command("a"), command("b")]
    backlog.put_back(again)
    assert [each[0] for each in sent(Batch(backlog, 0.0))] == [b"a", b"b", b"c"]


async def test_a_batch_of_nobody_is_empty() -> None:
    gone = get("k")
    gone.answer.cancel()
    backlog = backlog_of(gone)
    assert not Batch(backlog, 0.0)
    assert not backlog


async def test_a_batch_is_full_once_it_is_large() -> None:
    half = MAX_BATCH_BYTES // 2
    backlog = backlog_of(command("a", size=half), command("b", size=half), command("c", size=3 * half), command("d"))
    names = []
    while batch := Batch(backlog, 0.0):
        names.append([each[0] for each in sent(batch)])
    assert names == [[b"a", b"b"], [b"c"], [b"d"]]


@pytest.mark.parametrize("calls", [1, MAX_BATCH_CALLS, 3 * MAX_BATCH_CALLS])
async def test_gets_of_one_key_fill_no_batch(calls: int) -> None:
    batch = Batch(backlog_of(*(get("k") for _ in range(calls))), 0.0)
    assert sent(batch) == [[b"MGET", b"k"]]
