"""How far back to look, and when."""

from services.webhooks.looks import MOST_SECONDS, OVERLAP_MS, Looks

MINE = frozenset({1, 2})


def test_the_first_look_is_thorough_and_the_next_goes_on_from_there() -> None:
    looks = Looks()
    assert looks.since(MINE, 0.0) == 0
    looks.saw(MINE, 100_000)
    looks.ended(0, 0.2, 0.2)
    assert looks.since(MINE, 0.3) == 100_000 - OVERLAP_MS
    looks.saw(MINE, 101_000)
    looks.ended(100_000 - OVERLAP_MS, 1.3, 1.0)
    assert looks.since(MINE, 1.9) == 101_000 - OVERLAP_MS
    assert looks.since(MINE, 2.0) == 0


def test_other_shards_are_looked_at_thoroughly_at_once() -> None:
    looks = Looks()
    looks.saw(MINE, 100_000)
    looks.ended(0, 1.0, 1.0)
    assert looks.since(MINE, 1.1)
    assert looks.since(MINE | {3}, 1.1) == 0


def test_after_a_look_that_failed_the_next_takes_up_where_the_last_good_one_ended() -> None:
    looks = Looks()
    looks.saw(MINE, 100_000)
    looks.ended(0, 0.0, 0.0)
    looks.ended(0, 5.0, 5.0)
    assert looks.since(MINE, 6.0) == 100_000 - OVERLAP_MS
    assert looks.since(MINE, 5.0 + MOST_SECONDS) == 0
