"""The debug handlers do exactly what they are told: other tests build on it."""

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import debug
from sluice import InvalidInput
from sluice.reports import Progress
from sluice.testing import run

handlers = debug.handlers

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_all_run_in_the_loop_and_share_no_results() -> None:
    assert [definition.name for definition in handlers] == ["debug.echo", "debug.sleep", "debug.fail", "debug.flaky"]
    assert {(each.queue, each.run_in, each.cache_for_seconds) for each in handlers} == {("default", "loop", 0)}


@given(json_values)
def test_echo_returns_any_json(value: object) -> None:
    data = json.dumps(value).encode()
    definition = handlers["debug.echo"]

    returned = asyncio.run(debug.echo(definition.parse_input(data)))
    assert json.loads(definition.render_output(returned)) == value


async def test_sleep_says_how_long_it_slept() -> None:
    outcome = await run("debug.sleep", {"seconds": 0.02}, handlers=handlers)

    assert outcome.output == {"slept": 0.02}
    assert (outcome.progress, outcome.chunks) == ((), ())


async def test_sleep_takes_that_long() -> None:
    before = time.perf_counter()
    await run("debug.sleep", {"seconds": 0.05}, handlers=handlers)
    # The loop's timers count whole milliseconds.
    assert time.perf_counter() - before >= 0.048


async def test_sleep_in_steps_reports_each() -> None:
    outcome = await run("debug.sleep", {"seconds": 0.01, "steps": 3}, handlers=handlers)

    assert outcome.output == {"slept": 0.01}
    assert outcome.progress == tuple(Progress(step, 3) for step in (1, 2, 3))
    assert outcome.chunks == ({"step": 1}, {"step": 2}, {"step": 3})


async def test_sleep_ends_when_nobody_waits_for_it() -> None:
    outcome = await run("debug.sleep", {"seconds": 500}, handlers=handlers, cancelled=lambda: True)
    assert outcome.output == {"slept": 0.0}


async def test_sleep_notices_on_its_way_that_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "LOOK_UP_EVERY", 0.001)
    looks = iter([False] * 3)
    outcome = await run(
        "debug.sleep", {"seconds": 500, "steps": 2}, handlers=handlers, cancelled=lambda: next(looks, True)
    )

    assert outcome.output["slept"] == pytest.approx(0.003)
    assert outcome.progress == ()


@pytest.mark.parametrize("seconds", [-0.1, 500.1, "long", None])
async def test_sleep_is_bounded(seconds: Any) -> None:
    with pytest.raises(InvalidInput, match="/seconds"):
        await run("debug.sleep", {"seconds": seconds}, handlers=handlers)
    assert handlers["debug.sleep"].timeout_seconds > debug.LONGEST_SLEEP


@pytest.mark.parametrize(("input", "message"), [({}, "failed as asked"), ({"message": "boom"}, "boom")])
async def test_fail_fails(input: dict[str, str], message: str) -> None:
    for attempt in (1, 2, 5):
        with pytest.raises(debug.Failed, match=f"^{message}$"):
            await run("debug.fail", input, handlers=handlers, attempt=attempt)


@pytest.mark.parametrize("failures", [0, 1, 4])
async def test_flaky_works_after_so_many_failures(failures: int) -> None:
    for attempt in range(1, failures + 1):
        with pytest.raises(debug.Failed):
            await run("debug.flaky", {"failures": failures}, handlers=handlers, attempt=attempt)

    outcome = await run("debug.flaky", {"failures": failures}, handlers=handlers, attempt=failures + 1)
    assert outcome.output == {"attempts": failures + 1}
