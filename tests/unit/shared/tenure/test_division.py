"""Who should have which shards: everything to somebody, evenly, and nothing taken from who is there."""

import itertools
import random

import pytest

from shared.tenure.division import divided, entitlements, left

SHARDS = 16
ALL = range(SHARDS)


@pytest.mark.parametrize("count", range(1, 20))
def test_entitlements_are_even_and_cover_everything(count: int) -> None:
    found = entitlements([f"t{n}" for n in range(count)], SHARDS)
    assert sum(found.values()) == SHARDS
    assert max(found.values()) - min(found.values()) <= 1


def test_the_first_takes_everything() -> None:
    assert divided({}, {"a"}, "a", SHARDS) == dict.fromkeys(ALL, "a")


def test_who_has_too_much_gives_to_who_comes_and_who_comes_takes_nothing_by_itself() -> None:
    holders = dict.fromkeys(ALL, "a")
    assert divided(holders, {"a", "b"}, "b", SHARDS) == holders
    given = divided(holders, {"a", "b"}, "a", SHARDS)
    assert sorted(given.values()) == ["a"] * 8 + ["b"] * 8


def test_what_the_dead_had_goes_to_those_that_are_there() -> None:
    holders = {shard: "ab"[shard % 2] for shard in ALL}
    assert divided(holders, {"b"}, "b", SHARDS) == dict.fromkeys(ALL, "b")


def test_nothing_is_ever_taken_from_another_that_is_there() -> None:
    rng = random.Random(7)
    for _ in range(500):
        there = {f"t{n}" for n in range(rng.randint(1, 6))}
        holders = {shard: rng.choice([*sorted(there), "gone"]) for shard in ALL if rng.random() < 0.8}
        for mine in there:
            found = divided(holders, there, mine, SHARDS)
            for shard, term in holders.items():
                if term in there - {mine}:
                    assert found[shard] == term


def test_whatever_they_begin_with_they_come_to_an_even_division_that_stays() -> None:
    rng = random.Random(11)
    for _ in range(200):
        there = {f"t{n}" for n in range(rng.randint(1, 7))}
        holders = {shard: rng.choice([*sorted(there), "gone"]) for shard in ALL if rng.random() < 0.8}
        for _ in range(2):
            for mine in rng.sample(sorted(there), len(there)):
                holders = divided(holders, there, mine, SHARDS)
        assert sorted(holders) == list(ALL)
        assert {term: list(holders.values()).count(term) for term in there} | entitlements(
            there, SHARDS
        ) == entitlements(there, SHARDS)
        assert all(divided(holders, there, mine, SHARDS) == holders for mine in there)


def test_who_leaves_hands_everything_to_those_that_stay() -> None:
    holders = {shard: "abc"[shard % 3] for shard in ALL}
    found = left(holders, {"a", "b", "c"}, "c")
    assert sorted(found) == list(ALL)
    assert set(found.values()) == {"a", "b"}
    for shard, term in itertools.chain(holders.items()):
        if term != "c":
            assert found[shard] == term


def test_the_last_leaves_nothing_behind() -> None:
    assert left(dict.fromkeys(ALL, "a"), {"a"}, "a") == {}


def test_what_is_busy_is_given_away_last() -> None:
    given = divided(dict.fromkeys(ALL, "a"), {"a", "b"}, "a", SHARDS, range(6))
    assert [shard for shard, term in given.items() if term == "b"] == list(range(6, 14))
