"""Which statuses are tried again, and how often."""

import grpc
import pytest

from shared.storage.contract import Conflict
from shared.storage.firestore.retry import BASE_SECONDS, MAX_SECONDS, Retries
from shared.storage.firestore.status import Fate, fate, outcome

NOT_APPLIED = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
}


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_whatever_is_not_certain_is_a_doubt(code: grpc.StatusCode) -> None:
    assert (fate(code) is Fate.DOUBT) == (code not in NOT_APPLIED)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(6, Conflict.EXISTS), (9, Conflict.STALE), (5, Conflict.MISSING), (10, Fate.NOT_YET), (3, Fate.INVALID)],
)
def test_the_status_of_one_write(number: int, expected: Conflict | Fate) -> None:
    assert outcome(number) is expected


def test_a_number_of_the_future_is_a_doubt() -> None:
    assert outcome(4_711) is Fate.DOUBT


def test_pauses_grow_to_their_bound() -> None:
    longest = Retries(lambda: 1.0)
    pauses = [longest.pause(attempts) for attempts in range(1, 10)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 2 * BASE_SECONDS
    assert pauses[-1] == MAX_SECONDS
    assert longest.pause(10_000) == MAX_SECONDS


def test_pauses_are_drawn_from_the_whole_range() -> None:
    assert Retries(lambda: 0.0).pause(5) == 0.0


def test_the_budget_is_spent_and_earned() -> None:
    retries = Retries(budget=2)
    assert [retries.withdraw() for _ in range(4)] == [True, True, False, False]
    for _ in range(5):
        retries.succeeded()
    assert [retries.withdraw() for _ in range(2)] == [True, False]


def test_the_budget_has_a_top() -> None:
    retries = Retries(budget=2)
    for _ in range(1_000):
        retries.succeeded()
    assert [retries.withdraw() for _ in range(3)] == [True, True, False]
