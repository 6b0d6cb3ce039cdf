"""Finished jobs in memory: held while it is right to, and never after their deletion."""

from services.gateway.jobs.finished import MAX_AGE_SECONDS, MAX_DELETED, OVERHEAD_BYTES, Finished
from shared.clock import ManualClock
from shared.models.public import Snapshot, deleted

FINAL = 0x1401


def final(id: str, size: int = 10) -> Snapshot:
    return Snapshot(id, FINAL, terminal=True, body=b"x" * size)


async def test_only_what_is_final_is_held() -> None:
    finished = Finished(10_000, ManualClock())
    bare = Snapshot("tombstone", 0x400, terminal=True, body=b"{}")
    for state in (bare, Snapshot("running", 0x1201, terminal=False, body=b"{}"), final("done")):
        finished.put(state)
    assert [finished.get(id) for id in ("tombstone", "running", "done")] == [None, None, final("done")]


async def test_the_job_read_longest_ago_goes_first() -> None:
    finished = Finished(3 * (OVERHEAD_BYTES + 10), ManualClock())
    for id in ("a", "b", "c"):
        finished.put(final(id))
    assert finished.get("a")
    finished.put(final("d"))
    assert [id for id in "abcd" if finished.get(id)] == ["a", "c", "d"]


async def test_a_job_larger_than_everything_is_not_held() -> None:
    finished = Finished(1_000, ManualClock())
    finished.put(final("large", 2_000))
    assert finished.get("large") is None
    finished.put(final("small"))
    assert finished.get("small")


async def test_nothing_is_held_for_longer_than_an_hour() -> None:
    clock = ManualClock()
    finished = Finished(10_000, clock)
    finished.put(final("a"))
    await clock.advance(MAX_AGE_SECONDS - 1)
    finished.put(final("a"))
    assert finished.get("a")
    await clock.advance(1)
    assert finished.get("a") is None
    finished.put(final("a"))
    assert finished.get("a")


async def test_a_deleted_job_goes_and_never_comes_back() -> None:
    finished = Finished(10_000, ManualClock())
    finished.put(final("a"))
    finished.put(deleted("a"))
    assert finished.get("a") is None
    finished.put(final("a"))  # a read that began before the deletion
    assert finished.get("a") is None
    assert finished.is_deleted("a")
    assert not finished.is_deleted("b")


async def test_what_is_remembered_of_deletions_is_bounded() -> None:
    finished = Finished(10_000, ManualClock())
    for number in range(MAX_DELETED + 10):
        finished.put(deleted(str(number)))
    assert not finished.is_deleted("9")
    assert finished.is_deleted("10")


async def test_forgetting_everything_gives_back_all_room() -> None:
    finished = Finished(1_000, ManualClock())
    for round in range(3):
        for id in ("a", "b", "c"):
            finished.put(final(f"{id}{round}"))
        assert finished.get(f"c{round}")
        finished.clear()
        assert finished.get(f"c{round}") is None
