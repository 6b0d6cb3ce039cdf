"""DocumentQueue and PendingWrite: which writes go when, and what their callers are told."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import CommitUnknown, DocumentRefused, StoreUnavailable
from shared.storage.contract import Conflict, Version, WriteResult
from shared.storage.firestore.pending import DocumentQueue, PendingWrite
from shared.storage.firestore.status import Fate


def new_write(name: str, size: int = 1) -> PendingWrite:
    done: asyncio.Future[WriteResult] = asyncio.get_running_loop().create_future()
    return PendingWrite(name, b"x" * size, done, deadline=0.0)


def queue_of(*writes: PendingWrite) -> DocumentQueue:
    queue = DocumentQueue()
    for write in writes:
        queue.put(write)
    return queue


async def test_writes_leave_in_their_order() -> None:
    writes = [new_write(name) for name in "abcd"]
    queue = queue_of(*writes)
    assert queue.take(most=3, size=100) == writes[:3]
    assert queue.take(most=3, size=100) == writes[3:]
    assert queue.take(most=3, size=100) == []


async def test_a_document_waits_for_its_write_before() -> None:
    first, second, third = new_write("a"), new_write("a"), new_write("a")
    queue = queue_of(first, second, third)
    assert queue.take(most=3, size=100) == [first]
    assert queue.take(most=3, size=100) == []
    queue.release(first)
    assert queue.take(most=3, size=100) == [second]
    queue.release(second)
    assert queue.take(most=3, size=100) == [third]
    queue.release(third)
    again = new_write("a")
    queue.put(again)
    assert queue.take(most=3, size=100) == [again]


async def test_a_write_that_goes_again_keeps_its_place_before_the_next() -> None:
    first, second = new_write("a"), new_write("a")
    queue = queue_of(first, second)
    queue.take(most=1, size=100)
    queue.put_back(first)
    assert queue.take(most=2, size=100) == [first]


async def test_the_dead_are_dropped_and_hold_nobody_up() -> None:
    dead, behind, deader, last = new_write("a"), new_write("a"), new_write("a"), new_write("a")
    queue = queue_of(dead, behind, deader, last)
    dead.done.cancel()
    deader.done.cancel()
    assert queue.take(most=9, size=100) == [behind]
    queue.release(behind)
    assert queue.take(most=9, size=100) == [last]


async def test_sizes_are_kept_but_for_a_first() -> None:
    writes = [new_write("a", 200), new_write("b", 60), new_write("c", 40), new_write("d", 1)]
    queue = queue_of(*writes)
    assert queue.take(most=9, size=100) == writes[:1]
    assert queue.take(most=9, size=100) == writes[1:3]
    assert queue.take(most=9, size=100) == writes[3:]


@given(names=st.lists(st.sampled_from("abc"), max_size=30), most=st.integers(1, 5), fails=st.lists(st.booleans()))
async def test_each_document_s_writes_leave_one_by_one_in_order(names: str, most: int, fails: list[bool]) -> None:
    writes = [new_write(name) for name in names]
    queue, left, failing = queue_of(*writes), [], iter(fails)
    while taken := queue.take(most=most, size=1_000):
        assert len({write.name for write in taken}) == len(taken) <= most
        for write in taken:
            if next(failing, False):
                queue.put_back(write)
            else:
                left.append(write)
                queue.release(write)
    for name in "abc":
        assert [write for write in left if write.name == name] == [write for write in writes if write.name == name]


async def test_success_is_certain_even_after_a_doubt() -> None:
    write = new_write("a")
    write.meet(Fate.DOUBT)
    write.applied(Version(1))
    assert write.done.result() == Version(1)


@pytest.mark.parametrize("conflict", Conflict)
async def test_a_conflict_is_a_value_and_after_a_doubt_unknown(conflict: Conflict) -> None:
    write = new_write("a")
    assert write.meet(conflict)
    assert write.done.result() is conflict
    doubtful = new_write("a")
    assert not doubtful.meet(Fate.DOUBT)
    assert doubtful.meet(conflict)
    with pytest.raises(CommitUnknown):
        doubtful.done.result()


async def test_only_what_never_left_is_certainly_unwritten() -> None:
    queued, sent, doubtful, contended = (new_write("a") for _ in range(4))
    sent.sent = True
    doubtful.meet(Fate.DOUBT)
    contended.meet(Fate.NOT_YET)
    for write in (queued, sent, doubtful, contended):
        write.expire()
    assert [type(write.done.exception()) for write in (queued, sent, doubtful, contended)] == [
        StoreUnavailable,
        CommitUnknown,
        CommitUnknown,
        StoreUnavailable,
    ]


SETTLINGS: list[Callable[[PendingWrite], object]] = [
    lambda write: write.applied(Version(2)),
    lambda write: write.meet(Conflict.STALE),
    lambda write: write.meet(Fate.INVALID),
    lambda write: write.meet(Fate.DENIED),
    lambda write: write.expire(),
]


@pytest.mark.parametrize("settle", SETTLINGS)
async def test_the_first_word_counts(settle: Callable[[PendingWrite], object]) -> None:
    write, left = new_write("a"), new_write("a")
    write.applied(Version(1))
    left.done.cancel()
    settle(write)
    settle(left)
    assert write.done.result() == Version(1)
    assert left.done.cancelled()


async def test_an_invalid_document_is_refused_and_a_denied_one_unwritten() -> None:
    invalid, denied = new_write("a"), new_write("b")
    assert invalid.meet(Fate.INVALID)
    assert denied.meet(Fate.DENIED)
    assert type(invalid.done.exception()) is DocumentRefused
    assert type(denied.done.exception()) is StoreUnavailable
