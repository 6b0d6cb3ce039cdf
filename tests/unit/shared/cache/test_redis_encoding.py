"""Snapshots as Redis holds them: read back as written, and nothing else is taken for one."""

from hypothesis import example, given
from hypothesis import strategies as st

from shared.cache.redis.encoding import HEADER_BYTES, decode, decode_message, encode
from shared.models.public import Snapshot

snapshots = st.builds(
    Snapshot,
    id=st.text("0123456789abcdefghjkmnpqrstvwxyz_", min_size=1, max_size=50),
    order=st.integers(0, 2**53),
    terminal=st.booleans(),
    body=st.binary(min_size=1, max_size=200),
)


@given(snapshots)
@example(Snapshot("job_1", 0, terminal=False, body=b"\n"))
def test_what_is_written_is_read(snapshot: Snapshot) -> None:
    value = encode(snapshot)
    assert len(value) == HEADER_BYTES + len(snapshot.body)
    assert decode(snapshot.id, value) == snapshot
    assert decode_message(snapshot.id.encode() + b"\n" + value) == snapshot


def test_the_value_is_as_documented() -> None:
    assert encode(Snapshot("job_1", 8_708, terminal=True, body=b"{}")) == b"10000000000008708T{}"
    assert encode(Snapshot("job_1", 257, terminal=False, body=b"{}")) == b"10000000000000257L{}"


@given(st.binary(max_size=60))
def test_any_bytes_are_a_snapshot_or_nothing(value: bytes) -> None:
    found = decode("job_1", value)
    assert found is None or encode(found) == value
    decode_message(value)


@given(snapshots, st.integers(0, HEADER_BYTES - 1), st.integers(0, 255))
def test_a_spoilt_header_is_nothing_or_another_whole_one(snapshot: Snapshot, place: int, byte: int) -> None:
    value = bytearray(encode(snapshot))
    value[place] = byte
    found = decode(snapshot.id, bytes(value))
    assert found is None or encode(found) == value


@given(st.one_of(st.none(), st.integers(), st.lists(st.binary())))
def test_what_is_not_bytes_is_nothing(value: object) -> None:
    assert decode("job_1", value) is None
