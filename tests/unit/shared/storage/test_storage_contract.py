"""The values of the storage contract."""

from shared.storage.contract import TIMER_SHARDS, Stored, Timer, Version, shard_of


def test_shards_never_move() -> None:
    """Documents hold them: another hash would lose every timer that waits."""
    assert [shard_of(id, 16) for id in ("job_a:1", "job_b:1", "job_c:1", "")] == [7, 14, 9, 0]


def test_a_timer_knows_its_shard() -> None:
    timer = Timer("job_a:1", 0, "t", b"", {})
    assert timer.shard == shard_of("job_a:1", TIMER_SHARDS)


def test_shards_are_even() -> None:
    found = [shard_of(f"job_{number}:1", 16) for number in range(16_000)]
    assert all(800 < found.count(shard) < 1_200 for shard in range(16))


def test_idle_seconds_are_the_store_s() -> None:
    assert Stored("x", Version(1_000_000), read_at=16_500_000).idle_seconds == 15.5
