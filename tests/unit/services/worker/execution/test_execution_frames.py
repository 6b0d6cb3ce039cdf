"""Frames come out as they went in, however the stream was cut on its way; and never more of them than is allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.execution.errors import Garbled
from services.worker.execution.frames import Decoder, Frame, encode

FRAMES = st.lists(
    st.builds(Frame, st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=40), st.binary(max_size=300))
)


@given(FRAMES, st.lists(st.integers(1, 200), max_size=60))
def test_a_stream_cut_anywhere_gives_the_same_frames(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(encode(*frame) for frame in frames)
    decoder, seen = Decoder(limit=340), []
    for cut in cuts:
        seen += decoder.feed(stream[:cut])
        stream = stream[cut:]
    seen += decoder.feed(stream)
    assert seen == frames


def test_a_frame_at_the_limit_passes_and_one_beyond_is_refused_before_it_has_arrived() -> None:
    decoder = Decoder(limit=100)
    assert decoder.feed(encode(1, 2, b"h" * 40, b"p" * 60)) == [Frame(1, 2, b"h" * 40, b"p" * 60)]
    with pytest.raises(Garbled, match="101"):
        decoder.feed(encode(1, 2, b"h" * 40, b"p" * 61)[:17])


def test_what_is_incomplete_waits() -> None:
    decoder = Decoder(limit=100)
    frame = encode(1, 2, b"h", b"p")
    assert decoder.feed(frame[:-1]) == []
    assert decoder.feed(b"") == []
    assert decoder.feed(frame[-1:]) == [Frame(1, 2, b"h", b"p")]
