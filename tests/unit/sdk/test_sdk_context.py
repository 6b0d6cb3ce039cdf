"""What a handler can read of its job, and that reporting neither fails it nor goes out of bounds."""

import json
import logging
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import JobContext
from sluice.context import MAX_MESSAGE
from sluice.reports import MAX_CHUNK_BYTES, Progress, ReportBuffer, Reporter, Reports

DEADLINE = datetime(2030, 1, 1, 12, tzinfo=UTC)


class BrokenPipe:
    """A reporter whose other end is gone."""

    def __init__(self) -> None:
        self.asked = 0

    def progress(self, progress: Progress, /) -> None:
        self.asked += 1
        raise BrokenPipeError

    def emit(self, chunk: bytes, /) -> None:
        self.asked += 1
        raise BrokenPipeError


def context(reporter: Reporter, **changes: Any) -> JobContext:
    values: dict[str, Any] = {
        "id": "job_1",
        "attempt": 2,
        "max_attempts": 5,
        "fence": "abc",
        "deadline": DEADLINE,
        "reporter": reporter,
        "cancelled": lambda: False,
    }
    return JobContext(**values | changes)


def test_what_there_is_to_read() -> None:
    job = context(ReportBuffer())

    assert (job.id, job.attempt, job.max_attempts, job.fence) == ("job_1", 2, 5, "abc")
    assert (job.deadline, job.cancelled) == (DEADLINE, False)


@pytest.mark.parametrize("name", ["id", "attempt", "max_attempts", "fence", "deadline", "cancelled", "other"])
def test_nothing_can_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(context(ReportBuffer()), name, 1)


def test_the_deadline_is_shown_in_utc() -> None:
    elsewhere = DEADLINE.astimezone(timezone(timedelta(hours=5)))

    assert context(ReportBuffer(), deadline=elsewhere).deadline.tzinfo is UTC
    with pytest.raises(ValueError, match="time zone"):
        context(ReportBuffer(), deadline=DEADLINE.replace(tzinfo=None))


def test_cancelled_asks_each_time() -> None:
    answers = iter([False, True])
    job = context(ReportBuffer(), cancelled=lambda: next(answers))

    assert [job.cancelled, job.cancelled] == [False, True]


def test_progress_reaches_the_reporter() -> None:
    buffer = ReportBuffer()
    context(buffer).progress(1, 2.5, "half way")
    assert buffer.take() == Reports(Progress(1, 2.5, "half way"))


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), 10**400, 2**53])
def test_amounts_are_what_json_can_carry(amount: float) -> None:
    job = context(ReportBuffer())
    with pytest.raises(ValueError, match="`done` is between 0 and"):
        job.progress(amount)
    with pytest.raises(ValueError, match="`total` is between 0 and"):
        job.progress(0, amount)


@pytest.mark.parametrize("arguments", [("1",), (True,), (None,), (1, "2"), (1, 2, None)])
def test_progress_takes_numbers_and_a_string(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"is a (number|string), not"):
        context(ReportBuffer()).progress(*arguments)


def test_a_message_is_bounded_and_encodable() -> None:
    buffer = ReportBuffer()
    context(buffer).progress(1, message="\udcff" + "x" * 5_000)
    progress = buffer.take().progress

    assert progress is not None
    assert len(progress.message) == MAX_MESSAGE
    progress.message.encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_any_json_value_can_be_emitted(value: object) -> None:
    buffer = ReportBuffer()
    context(buffer).emit(value)
    (chunk,) = buffer.take().chunks
    assert json.loads(chunk) == value


def test_a_chunk_is_bounded_in_bytes_not_characters() -> None:
    buffer = ReportBuffer()
    job = context(buffer)

    job.emit("é" * ((MAX_CHUNK_BYTES - 2) // 2))
    with pytest.raises(ValueError, match="at most 65536 bytes"):
        job.emit("é" * (MAX_CHUNK_BYTES // 2))
    assert [len(chunk) for chunk in buffer.take().chunks] == [MAX_CHUNK_BYTES]


@pytest.mark.parametrize("chunk", [float("nan"), [float("inf")], "\ud800"])
def test_what_json_cannot_say_is_a_value_error(chunk: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 the words are the standard library's
        context(ReportBuffer()).emit(chunk)


def test_what_is_no_json_value_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        context(ReportBuffer()).emit(object())


def test_a_reporter_that_fails_never_fails_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    pipe = BrokenPipe()
    job = context(pipe)

    with caplog.at_level(logging.ERROR, logger="sluice"):
        for done in range(3):
            job.progress(done)
            job.emit(done)

    assert pipe.asked == 6
    assert [record.getMessage() for record in caplog.records] == ["reports of job job_1 are lost"]
