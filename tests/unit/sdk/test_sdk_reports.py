"""The buffer between a handler that reports and a worker that sends."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from sluice.reports import Progress, ReportBuffer, Reports


def test_only_the_newest_progress_waits() -> None:
    buffer = ReportBuffer()
    for done in range(5):
        buffer.progress(Progress(done, 4))

    assert buffer.take() == Reports(Progress(4, 4))
    assert buffer.take() == Reports()


def test_chunks_keep_their_order() -> None:
    buffer = ReportBuffer()
    for chunk in (b"1", b"2", b"3"):
        buffer.emit(chunk)

    assert buffer.take() == Reports(None, (b"1", b"2", b"3"))


def test_the_oldest_chunks_give_way_and_are_counted() -> None:
    buffer = ReportBuffer(max_chunks=2)
    for chunk in (b"1", b"2", b"3", b"4"):
        buffer.emit(chunk)

    assert buffer.take() == Reports(None, (b"3", b"4"), dropped=2)
    buffer.emit(b"5")
    assert buffer.take() == Reports(None, (b"5",), dropped=0)


@given(st.lists(st.binary(max_size=20)), st.integers(1, 5), st.integers(1, 30))
def test_what_waits_is_the_longest_end_that_fits(chunks: list[bytes], max_chunks: int, max_bytes: int) -> None:
    buffer = ReportBuffer(max_chunks=max_chunks, max_bytes=max_bytes)
    for chunk in chunks:
        buffer.emit(chunk)
    taken = buffer.take()

    kept = list(taken.chunks)
    assert len(kept) <= max_chunks
    assert sum(map(len, kept)) <= max_bytes
    assert len(kept) + taken.dropped == len(chunks)
    assert kept == chunks[len(chunks) - len(kept) :]


def test_a_take_makes_room() -> None:
    buffer = ReportBuffer(max_bytes=10)
    for _ in range(3):
        buffer.emit(b"x" * 10)
        assert buffer.take() == Reports(None, (b"x" * 10,))


def test_the_first_report_after_a_take_is_announced_once() -> None:
    announced: list[None] = []
    buffer = ReportBuffer(lambda: announced.append(None))

    buffer.progress(Progress(1))
    buffer.emit(b"1")
    buffer.progress(Progress(2))
    assert len(announced) == 1

    buffer.take()
    buffer.emit(b"2")
    buffer.emit(b"3")
    assert len(announced) == 2


def test_an_announced_buffer_may_be_taken_from_at_once() -> None:
    taken: list[Reports] = []
    buffer = ReportBuffer(lambda: taken.append(buffer.take()))

    buffer.emit(b"1")
    buffer.progress(Progress(1))

    assert taken == [Reports(None, (b"1",)), Reports(Progress(1))]


def test_many_threads_lose_nothing() -> None:
    buffer = ReportBuffer(max_chunks=10_000)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: buffer.emit(b"%d" % n), range(4_000)))

    assert sorted(int(chunk) for chunk in buffer.take().chunks) == list(range(4_000))
