"""What a client of a stream has seen, and how events look on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.jobs.events import Seen, event
from shared.cache.contract import Position

POSITIONS = st.builds(Position, st.integers(1, 10**14), st.integers(0, 10**14))


@given(order=st.integers(0, 2**53), position=st.none() | POSITIONS)
def test_what_was_seen_reads_back(order: int, position: Position | None) -> None:
    seen = Seen(order, position)
    assert Seen.parse(str(seen)) == seen


@pytest.mark.parametrize(
    "id", [None, "", "1", "1.2", "1.2-", "x.1-1", "1.1-1 ", "-1.1-1", "1.1-1\n", "1.٣-1", "f" * 99]
)
def test_what_is_none_of_ours_is_nothing(id: str | None) -> None:
    assert Seen.parse(id) == Seen()


@pytest.mark.parametrize(
    ("seen", "next", "misses"),
    [
        (None, Position(5, 1), False),
        (None, Position(5, 2), True),
        (Position(5, 1), Position(5, 2), False),
        (Position(5, 1), Position(5, 3), True),
        (Position(5, 1), Position(6, 2), True),
        (Position(5, 9), Position(6, 1), True),
    ],
)
def test_a_gap_is_seen(seen: Position | None, next: Position, misses: bool) -> None:
    assert Seen(0, seen).misses(next) is misses


def test_an_event_on_the_wire() -> None:
    seen = Seen(0x1200, Position(1_750, 3))
    assert event("output", seen, b'{"n":1}') == b'event: output\nid: 1200.1750-3\ndata: {"n":1}\n\n'


@given(data=st.binary(max_size=60))
def test_no_data_makes_another_event(data: bytes) -> None:
    """A runner is a handler author's process: what it sends for JSON may be anything."""
    lines = event("output", Seen(), data).split(b"\n")
    assert lines[:2] == [b"event: output", b"id: 0.0-0"]
    assert lines[-2:] == [b"", b""]
    assert all(line.startswith(b"data: ") for line in lines[2:-2])
    assert b"\r" not in b"".join(lines)
