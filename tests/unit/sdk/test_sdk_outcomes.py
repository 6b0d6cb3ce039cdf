"""Retry and Reject: what they accept, and that they come out of another process as they went in."""

import asyncio
import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import InvalidInput, InvalidOutput, Reject, Retry
from sluice.errors import Fault
from sluice.outcomes import MAX_AFTER_SECONDS, MAX_REASON

afters = (
    st.none() | st.floats(0, MAX_AFTER_SECONDS) | st.integers(0, 86_400) | st.timedeltas(timedelta(), timedelta(30))
)


class Busy(Retry):
    """An author's own outcome, which takes something else than `Retry` does."""

    def __init__(self, printer: str) -> None:
        super().__init__(after=30, reason="the printer is busy")
        self.printer = printer


def raise_busy(printer: str) -> None:
    raise Busy(printer)


@given(afters, st.text())
def test_retry_survives_pickling(after: float | timedelta | None, reason: str) -> None:
    retry = Retry(after, reason)
    again = pickle.loads(pickle.dumps(retry))

    assert type(again) is Retry
    assert (again.after_seconds, again.reason, str(again)) == (retry.after_seconds, retry.reason, str(retry))
    assert again.args == retry.args


@given(st.text())
def test_reject_survives_pickling(reason: str) -> None:
    reject = Reject(reason)
    again = pickle.loads(pickle.dumps(reject))

    assert type(again) is Reject
    assert (again.reason, str(again), again.args) == (reject.reason, str(reject), reject.args)


@given(st.lists(st.builds(Fault, st.text(), st.text())))
def test_invalid_data_survives_pickling(faults: list[Fault]) -> None:
    for error in (InvalidInput(faults), InvalidOutput(faults)):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert (again.faults, str(again)) == (tuple(faults), str(error))


def test_an_authors_own_outcome_survives_copying_with_what_it_carries() -> None:
    busy = Busy("upstairs")
    busy.add_note("asked twice")

    for again in (pickle.loads(pickle.dumps(busy)), copy.copy(busy)):
        assert (again.printer, again.after_seconds, again.reason) == ("upstairs", 30.0, "the printer is busy")
        assert again.__notes__ == ["asked twice"]


async def test_an_outcome_crosses_a_process_boundary() -> None:
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as pool, pytest.raises(Busy) as caught:
        async with asyncio.timeout(30):
            await asyncio.get_running_loop().run_in_executor(pool, raise_busy, "upstairs")
    assert (caught.value.printer, caught.value.after_seconds) == ("upstairs", 30.0)


def test_after_is_in_seconds() -> None:
    assert Retry().after_seconds is None
    assert Retry(2).after_seconds == 2.0
    assert Retry(timedelta(minutes=1.5)).after_seconds == 90.0


@pytest.mark.parametrize("after", ["5", True, [1], 1j])
def test_after_is_a_number(after: Any) -> None:
    with pytest.raises(TypeError, match="`after` is a number of seconds or a timedelta"):
        Retry(after)


@pytest.mark.parametrize(
    "after", [-1, -0.001, float("nan"), float("inf"), 10**400, MAX_AFTER_SECONDS + 1, timedelta(-1), timedelta.max]
)
def test_after_is_in_range(after: float | timedelta) -> None:
    with pytest.raises(ValueError, match="between 0 and 2592000 seconds"):
        Retry(after)


@pytest.mark.parametrize("reason", [None, 7, b"bytes"])
def test_a_reason_is_a_string(reason: Any) -> None:
    with pytest.raises(TypeError, match="`reason` is a string"):
        Reject(reason)
    with pytest.raises(TypeError, match="`reason` is a string"):
        Retry(reason=reason)


@given(st.text(st.characters(), max_size=2 * MAX_REASON))
def test_wording_never_costs_the_outcome(reason: str) -> None:
    for kept in (Reject(reason).reason, Retry(reason=reason).reason):
        assert len(kept) <= MAX_REASON
        assert kept.encode().decode() == kept


def test_odd_wordings() -> None:
    assert Reject("  ").reason == "The handler rejected the input"
    assert str(Retry()) == "The handler asked for another attempt"
    assert Reject("file \udcff").reason == "file ?"
    assert Reject("x" * 5_000).reason == "x" * 999 + "…"
