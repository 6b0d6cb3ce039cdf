"""Every message survives its frame; what no runner says is `Garbled`, whatever it is."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.execution import messages
from services.worker.execution.errors import Garbled, LoadFault
from services.worker.execution.frames import Decoder, Frame
from services.worker.execution.messages import (
    Announced,
    Asked,
    Cancel,
    Finished,
    Given,
    NotLoaded,
    Ping,
    Pong,
    Ready,
    Reported,
    Run,
    ToRunner,
    ToWorker,
    read_to_runner,
    read_to_worker,
)
from services.worker.execution.outcomes import Failed, Rejected, RetryRequested, Succeeded
from services.worker.execution.task import Counts, ItemOutput, LoadedHandler, Progress, Report
from shared.models.handler import HandlerEntry
from shared.models.job import ErrorCode

ENTRY = HandlerEntry("a.b", "default", "1", {"type": "object"}, {"type": "null"}, 1.5, 3, 60, "What it does")


def frame(encoded: bytes) -> Frame:
    (only,) = Decoder(limit=1_000_000).feed(encoded)
    return only


@pytest.mark.parametrize(
    "message",
    [
        Run(2**63, "a.b", "job_1", 2, 5, "fence", 1_900_000_000_000, b'{"text":"\xc3\xbc"}'),
        Run(1, "sum", "job_1", 1, 5, "fence", 1, b"{}", Counts(9, 4, 3, 2, 0)),
        Cancel(7),
        Ping(8),
        Given(3, 1, [ItemOutput(0, "job_1", b"1"), ItemOutput(99_999, "job_2", b'"\xc3\xbc"')]),
    ],
)
def test_what_the_worker_says_arrives(message: ToRunner) -> None:
    assert read_to_runner(frame(message.encode())) == message


@pytest.mark.parametrize(
    "message",
    [
        Announced(LoadedHandler(ENTRY, "thread")),
        Ready(),
        NotLoaded((LoadFault("acme:handlers", "there is none"), LoadFault("", "…"))),
        Pong(9),
        Asked(2**63, 7, 99_999),
        Finished(1, Succeeded(b"[1,2]")),
        Finished(1, RetryRequested(None, "")),
        Finished(1, RetryRequested(1.5, "later")),
        Finished(1, Rejected("no")),
        Finished(1, Failed(ErrorCode.INVALID_OUTPUT, "why", retryable=False, fingerprint="ab")),
        Reported(1, Report(None, (b'"a"', b"", b"{}"), 3)),
        Reported(1, Report(Progress(1, None, ""), (), 0)),
    ],
)
def test_what_a_runner_says_arrives(message: ToWorker) -> None:
    assert read_to_worker(frame(message.encode())) == message


class Amount(float):
    """A number of a library's own type."""


@pytest.mark.parametrize(("done", "shown"), [(10**40, 1e40), (Amount(2.5), 2.5), (2**53 - 1, 2**53 - 1)])
def test_any_number_can_be_progress(done: float, shown: float) -> None:
    read = read_to_worker(frame(Reported(1, Report(Progress(done, done, ""), (), 0)).encode()))
    assert read == Reported(1, Report(Progress(shown, shown, ""), (), 0))


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=4)
)


@given(st.integers(0, 255), st.binary(max_size=12) | JSON.map(orjson.dumps), st.binary(max_size=8))
def test_nothing_but_garbled_is_raised(kind: int, header: bytes, payload: bytes) -> None:
    for read in (read_to_runner, read_to_worker):
        try:
            read(Frame(kind, 1, header, payload))
        except Garbled:
            continue


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        (messages.FAILED, b'["no_such_code", "m", true, ""]'),
        (messages.REJECTED, b"[]"),
        (messages.REPORTED, b"[null, 0, [3]]"),
        (messages.ANNOUNCED, b'[{"name": "a"}, "loop"]'),
        (messages.RUN, b"[]"),
        (0, b""),
    ],
)
def test_a_header_that_says_something_else_is_garbled(kind: int, header: bytes) -> None:
    with pytest.raises(Garbled):
        read_to_worker(Frame(kind, 1, header, b""))
