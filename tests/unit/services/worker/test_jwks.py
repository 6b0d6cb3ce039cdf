"""The issuer's keys: renewed ahead of time, kept without an answer, looked for no more often than is decent."""

import asyncio

import orjson
import pytest

from services.worker.jwks import (
    AGAIN_SECONDS,
    LONGEST_SECONDS,
    MAX_KEYS,
    SHORTEST_SECONDS,
    STALE_SECONDS,
    Fetched,
    KeySet,
    KeysUnavailable,
    parsed,
)
from shared.clock import ManualClock
from shared.lifecycle import running
from tests.unit.services.worker.signing import ONE, TWO, Issuer, Key


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.issuer = Issuer(self.clock)
        self.keys = KeySet(self.issuer.fetch, self.clock, lambda: 0.5)

    async def has(self, id: str) -> bool:
        return await self.keys.key(id) is not None


@pytest.fixture
def b() -> Bench:
    return Bench()


async def test_keys_are_fetched_once_for_all_who_ask(b: Bench) -> None:
    assert await asyncio.gather(*(b.has("one") for _ in range(50))) == [True] * 50
    assert b.issuer.asked == 1


async def test_a_key_that_is_new_is_found(b: Bench) -> None:
    assert await b.has("one")
    b.issuer.keys = [ONE, TWO]
    await b.clock.advance(AGAIN_SECONDS)
    assert await b.has("two")


async def test_a_key_that_nobody_has_is_looked_for_now_and_then(b: Bench) -> None:
    for _ in range(100):
        assert not await b.has("nobody's")
    assert b.issuer.asked == 1
    await b.clock.advance(AGAIN_SECONDS)
    assert not await b.has("nobody's")
    assert not await b.has("nobody else's")
    assert b.issuer.asked == 2


async def test_a_key_that_was_withdrawn_is_not_used_after_the_next_renewal(b: Bench) -> None:
    async with running(b.keys.run()):
        assert await b.has("one")
        b.issuer.keys = [TWO]
        await b.clock.advance(b.issuer.fresh_seconds)
        assert not await b.has("one")
        assert await b.has("two")


async def test_keys_are_renewed_before_they_are_old(b: Bench) -> None:
    async with running(b.keys.run()):
        await b.clock.advance(0)
        await b.clock.advance(0.9 * b.issuer.fresh_seconds)
        assert b.issuer.asked == 2
        assert await b.has("one")
        assert b.issuer.asked == 2


@pytest.mark.parametrize(("said", "asked"), [(0, 1 + 5), (10 * LONGEST_SECONDS, 1)])
async def test_what_the_issuer_says_of_time_is_bounded(b: Bench, said: float, asked: int) -> None:
    b.issuer.fresh_seconds = said
    async with running(b.keys.run()):
        await b.clock.advance(4.5 * SHORTEST_SECONDS)
        assert b.issuer.asked == asked
        await b.clock.advance(LONGEST_SECONDS)
        assert b.issuer.asked > asked


async def test_keys_are_used_on_while_the_issuer_does_not_answer(b: Bench) -> None:
    async with running(b.keys.run()):
        assert await b.has("one")
        b.issuer.down = True
        await b.clock.advance(STALE_SECONDS / 2)
        assert await b.has("one")
        with pytest.raises(KeysUnavailable):
            await b.has("two")


async def test_but_not_for_ever(b: Bench) -> None:
    async with running(b.keys.run()):
        assert await b.has("one")
        b.issuer.down = True
        await b.clock.advance(STALE_SECONDS)
        with pytest.raises(KeysUnavailable):
            await b.has("one")
        b.issuer.down = False
        await b.clock.advance(60)
        assert await b.has("one")


async def test_an_issuer_that_is_down_at_the_start_is_asked_again(b: Bench) -> None:
    b.issuer.down = True
    async with running(b.keys.run()):
        with pytest.raises(KeysUnavailable):
            await b.has("one")
        b.issuer.down = False
        await b.clock.advance(2)
        assert await b.has("one")


async def test_an_issuer_that_is_down_is_not_stormed(b: Bench) -> None:
    b.issuer.down = True
    async with running(b.keys.run()):
        for _ in range(50):
            with pytest.raises(KeysUnavailable):
                await b.has("one")
        await b.clock.advance(600)
        assert b.issuer.asked < 30


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [1]}', b'{"keys": []}', b"\xff"])
def test_what_is_no_key_set_changes_nothing(body: bytes) -> None:
    with pytest.raises(KeysUnavailable):
        parsed(body)


async def test_an_answer_that_is_none_leaves_the_keys_as_they_were() -> None:
    clock, answers = ManualClock(), [orjson.dumps({"keys": [ONE.public()]}), b"<html>"]

    async def fetch() -> Fetched:
        return Fetched(answers.pop(0), 60)

    keys = KeySet(fetch, clock, lambda: 0.5)
    assert await keys.key("one") is not None
    await clock.advance(AGAIN_SECONDS)
    with pytest.raises(KeysUnavailable):
        await keys.key("two")
    assert await keys.key("one") is not None


@pytest.mark.parametrize(
    "change", [{"use": "enc"}, {"kty": "EC"}, {"alg": "RS512"}, {"kid": 7}, {"n": "AQ"}, {"e": None}]
)
def test_keys_for_anything_else_are_passed_over(change: dict[str, object]) -> None:
    body = orjson.dumps({"keys": [{**TWO.public(), **change}, ONE.public()]})
    assert set(parsed(body)) == {"one"}


def test_short_keys_are_passed_over() -> None:
    short = Key.new("short", bits=1_024)
    assert set(parsed(orjson.dumps({"keys": [short.public(), ONE.public()]}))) == {"one"}


def test_no_more_keys_are_read_than_any_issuer_has() -> None:
    many = [{**ONE.public(), "kid": str(number)} for number in range(MAX_KEYS + 10)]
    assert len(parsed(orjson.dumps({"keys": many}))) == MAX_KEYS
