"""Pauses are drawn below a ceiling that doubles; retries stop when most requests fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.backoff import RetryBudget, full_jitter


@pytest.mark.parametrize(("attempt", "ceiling"), [(0, 0.1), (1, 0.2), (3, 0.8), (4, 1.0), (5_000, 1.0)])
def test_the_ceiling_doubles_up_to_the_cap(attempt: int, ceiling: float) -> None:
    assert full_jitter(attempt, base_seconds=0.1, cap_seconds=1.0, draw=lambda: 1.0) == pytest.approx(ceiling)


@given(attempt=st.integers(0, 100), drawn=st.floats(0, 1, exclude_max=True))
def test_pauses_are_spread_over_the_whole_range(attempt: int, drawn: float) -> None:
    ceiling = full_jitter(attempt, base_seconds=0.1, cap_seconds=1.0, draw=lambda: 1.0)
    assert full_jitter(attempt, base_seconds=0.1, cap_seconds=1.0, draw=lambda: drawn) == pytest.approx(drawn * ceiling)


def test_a_row_of_failures_uses_the_budget_up() -> None:
    budget = RetryBudget(tokens=20)
    assert [budget.failed() for _ in range(12)] == [True] * 9 + [False] * 3


def test_successes_fill_it_again_up_to_the_brim() -> None:
    budget = RetryBudget(tokens=20, regained=0.5)
    for _ in range(100):
        budget.failed()
    assert not budget.failed()
    for _ in range(24):
        budget.succeeded()
    assert budget.failed()
    for _ in range(1_000):
        budget.succeeded()
    assert [budget.failed() for _ in range(12)].count(True) == 9


def test_failures_among_many_successes_are_always_retried() -> None:
    budget = RetryBudget(tokens=20, regained=0.5)
    for _ in range(200):
        assert budget.failed()
        for _ in range(3):
            budget.succeeded()
