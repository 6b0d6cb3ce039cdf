"""Times as text, and a clock that tests move."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock, SystemClock, parse_rfc3339, rfc3339


@given(st.integers(0, 4_000_000_000_000))
def test_times_survive_the_round_trip(at: int) -> None:
    assert parse_rfc3339(rfc3339(at)) == at


@given(st.integers(0, 4_000_000_000_000))
def test_times_read_as_the_standard_library_says(at: int) -> None:
    expected = datetime.fromtimestamp(at // 1000, UTC).isoformat().removesuffix("+00:00")
    assert rfc3339(at) == f"{expected}.{at % 1000:03}Z"


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00:00", "now", "", "2026-13-01T00:00:00Z"])
def test_what_is_not_a_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of the library's words will do
        parse_rfc3339(text)


def test_offsets_are_honoured() -> None:
    assert parse_rfc3339("2026-01-01T02:00:00+02:00") == parse_rfc3339("2026-01-01T00:00:00Z")


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock, woken = ManualClock(), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for seconds in (3.0, 1.0, 2.0):
            group.create_task(sleeper(seconds))
        await asyncio.sleep(0)
        await clock.advance(1.5)
        assert woken == [(1.0, 1.0)]
        await clock.advance(5)
    assert woken == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


def test_the_system_clock_agrees_with_the_standard_library() -> None:
    before = datetime.now(UTC).timestamp() * 1000
    assert before - 1 <= SystemClock().now() <= datetime.now(UTC).timestamp() * 1000
