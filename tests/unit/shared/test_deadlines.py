"""Deadlines that share timers: everyone is told when their time is up and no sooner, and nobody who was settled."""

import asyncio

from shared.deadlines import MOMENT_SECONDS, Deadlines

SOON_SECONDS = 0.03
TIMER_SECONDS = 0.001
"""What the loop rounds to."""


async def test_whose_time_is_up_is_told_within_a_moment_and_no_sooner() -> None:
    loop = asyncio.get_running_loop()
    told: dict[str, float] = {}
    both = asyncio.Event()

    def expire(name: str) -> None:
        told[name] = loop.time()
        if len(told) == 2:
            both.set()

    deadlines = Deadlines(expire)
    due = {"first": loop.time() + SOON_SECONDS, "second": loop.time() + 2 * SOON_SECONDS}
    for name, deadline in due.items():
        deadlines.add(name, deadline)
    async with asyncio.timeout(5):
        await both.wait()
    assert list(told) == ["first", "second"]
    assert all(told[name] >= deadline - TIMER_SECONDS for name, deadline in due.items())


async def test_those_of_one_moment_share_it_and_who_was_settled_is_not_told() -> None:
    loop = asyncio.get_running_loop()
    told: list[str] = []
    over = asyncio.Event()
    deadlines = Deadlines(told.append)
    last = Deadlines[str](lambda _: over.set())
    at = (loop.time() + SOON_SECONDS) // MOMENT_SECONDS * MOMENT_SECONDS + MOMENT_SECONDS / 2
    one, other = deadlines.add("one", at), deadlines.add("other", at)
    assert one is other
    one.discard("one")
    last.add("end", at + 2 * MOMENT_SECONDS)
    async with asyncio.timeout(5):
        await over.wait()
    assert told == ["other"]
