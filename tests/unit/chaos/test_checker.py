"""The checker on runs made up by hand: silent on sound ones, and each promise missed where it is broken."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.models.job import ErrorCode, JobError
from tests.chaos.checker import judge
from tests.chaos.damage import Death, Trouble
from tests.chaos.effects import What
from tests.chaos.evidence import Told
from tests.chaos.history import Act, Fail, Info, Ok
from tests.chaos.work import AFTER_RETRIES, LOSS, Piece
from tests.unit.chaos.histories import (
    BORN,
    RIVAL,
    RUNNER,
    WORKER,
    Story,
    accepted,
    canceled_on_request,
    running,
    shown,
    sound,
    succeeded,
    tombstone,
)

Spoil = Callable[[Story], None]


def rules(story: Story) -> set[str]:
    return {violation.rule for violation in judge(story.evidence()).violations}


def test_a_sound_run_is_sound() -> None:
    verdict = judge(sound().evidence())
    verdict.require_sound()
    assert (verdict.counts.submitted, verdict.counts.accepted, verdict.counts.succeeded) == (1, 1, 1)


def test_a_run_in_which_nothing_succeeded_is_inconclusive() -> None:
    story = Story()
    story.submit("w1", Fail(503, "down"))
    verdict = judge(story.evidence())
    assert not verdict.violations
    assert verdict.unknown
    with pytest.raises(AssertionError, match="inconclusive"):
        verdict.require_sound()


def lost(story: Story) -> None:
    story.submit("w2", accepted("j2"))


def stuck(story: Story) -> None:
    story.submit("w2", accepted("j2"))
    story.ran("j2", "w2", what=What.START)
    story.documents["j2"] = running("j2", "w2")


def ghost_stuck(story: Story) -> None:
    story.submit("w2", Info(0, "reset"))
    story.ran("j2", "w2", what=What.START)
    story.documents["j2"] = running("j2", "w2")


def refused_and_run(story: Story) -> None:
    story.submit("w2", Fail(503, "not accepted"))
    story.ran("j2", "w2")
    story.ended(succeeded("j2", "w2"))


def invented(story: Story) -> None:
    story.ran("j2", "nobody")
    story.ended(succeeded("j2", "nobody"))


def two_jobs_of_one_key(story: Story) -> None:
    story.submit("w2", Info(0, "reset"), keyed=True)
    story.submit("w2", accepted("j3", keyed=True), keyed=True)
    for id in ("j2", "j3"):
        story.ran(id, "w2")
        story.ended(succeeded(id, "w2"))


def two_jobs_of_one_request(story: Story) -> None:
    story.submit("w2", accepted("j2"))
    for id in ("j2", "j3"):
        story.ran(id, "w2")
        story.ended(succeeded(id, "w2"))


def effect_twice(story: Story) -> None:
    story.effects.append(replace(story.effects[-1], run="r2"))


def fence_of_two_runs(story: Story) -> None:
    story.ran("j1", "w1", at=1.2, run="r2", what=What.START)
    story.damage.deaths.append(Death("runner", RUNNER, 1.1, "killed"))


def ran_without_a_start(story: Story) -> None:
    canceled_on_request(story)
    story.ran("j2", "w2", what=What.START)


def unknown_after_all(story: Story) -> None:
    story.read("j1", Fail(404, "no such job"))


def canceled_by_nobody(story: Story) -> None:
    canceled_on_request(story)
    story.history.calls = [call for call in story.history.calls if call.act is not Act.CANCEL]


def tombstone_of_a_lost_message(story: Story) -> None:
    canceled_on_request(story)
    story.documents["j2"] = tombstone("j2")


def tombstone_that_said_otherwise(story: Story) -> None:
    canceled_on_request(story)
    story.cancel("j2", shown(tombstone("j2", at=BORN + 7_000)))


def other_bytes_to_a_client(story: Story) -> None:
    story.read("j1", shown(succeeded("j1", "w1", at=BORN + 9_000)), client=2)


def other_bytes_in_redis(story: Story) -> None:
    story.cached["j1"] = replace(story.cached["j1"], body=b'{"status":"succeeded"}')


def stale_owners_result(story: Story) -> None:
    story.ran("j1", "w1", at=1.5, fence="f2", run="r2", worker=RIVAL)
    story.damage.deaths.append(Death("worker-1", WORKER, 1.2, "signal"))
    story.ended(succeeded("j1", "w1", fence="f2", run="r1"))
    story.history.calls.pop()


def result_of_no_run(story: Story) -> None:
    story.history.calls.pop()
    story.ended(succeeded("j1", "w1", run="never"))


def failed_instead(story: Story) -> None:
    story.submit("w2", accepted("j2"))
    story.ran("j2", "w2", what=What.RAISE)
    error = JobError(ErrorCode.HANDLER_ERROR, "UNAVAILABLE", retryable=False)
    story.ended(running("j2", "w2").failed(error, at=BORN + 2_000))


def an_attempt_spent_on_infrastructure(story: Story) -> None:
    story.submit("w2", accepted("j2"))
    story.ran("j2", "w2", what=What.RAISE)
    story.ran("j2", "w2", at=4.0, attempt=2, fence="f2", run="r2")
    error = JobError(ErrorCode.HANDLER_ERROR, "DEADLINE_EXCEEDED", retryable=True)
    waiting = running("j2", "w2").waiting(error, until=BORN + 3_000, at=BORN + 2_000)
    again = waiting.claimed(attempt=2, fence="f2", worker="worker-1", lease_seconds=4, at=BORN + 3_000)
    story.ended(again.succeeded(b'{"work":"w2","run":"r2"}', at=BORN + 4_000))


def started_twice(story: Story) -> None:
    story.ran("j1", "w1", at=1.5, fence="f0", run="r0", worker=RIVAL, what=What.START)


def started_after_the_end(story: Story) -> None:
    story.ran("j1", "w1", at=3.0, fence="f2", run="r2", worker=RIVAL, what=What.START)
    story.damage.deaths.append(Death("worker-1", WORKER, 2.5, "signal"))


def state_went_back(story: Story) -> None:
    story.read("j1", Ok(200, "j1", 0x1200, "running", b""), known=0x1401)


def untold(story: Story) -> None:
    story.events.clear()


def told_otherwise(story: Story) -> None:
    story.events["j1"].append(Told("job.succeeded", "succeeded", 1, BORN + 9_000))


def failed_inside(story: Story) -> None:
    story.read("j1", Fail(500, ""))


def overstayed(story: Story) -> None:
    story.damage.overdue.append("worker-1")


@pytest.mark.parametrize(
    ("spoil", "broken"),
    [
        (lost, {"R1"}),
        (stuck, {"R1"}),
        (ghost_stuck, {"R1"}),
        (refused_and_run, {"R2"}),
        (invented, {"R2"}),
        (two_jobs_of_one_key, {"R3", "R8"}),
        (two_jobs_of_one_request, {"R3", "R8"}),
        (effect_twice, {"R8"}),
        (fence_of_two_runs, {"R8"}),
        (ran_without_a_start, {"R13"}),
        (unknown_after_all, {"R1"}),
        (canceled_by_nobody, {"R22"}),
        (tombstone_of_a_lost_message, {"R1"}),
        (tombstone_that_said_otherwise, {"R5"}),
        (other_bytes_to_a_client, {"R5"}),
        (other_bytes_in_redis, {"R5"}),
        (stale_owners_result, {"R6"}),
        (result_of_no_run, {"R6"}),
        (failed_instead, {"R10", "R22"}),
        (an_attempt_spent_on_infrastructure, {"R8", "R10"}),
        (started_twice, {"R8"}),
        (started_after_the_end, {"R9"}),
        (state_went_back, {"R23"}),
        (untold, {"R9"}),
        (told_otherwise, {"R6"}),
        (failed_inside, {"R22"}),
        (overstayed, {"R14"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_broken_promise_is_noticed(spoil: Spoil, broken: set[str]) -> None:
    story = sound()
    spoil(story)
    assert rules(story) == broken


def test_a_cancel_that_was_asked_for_is_sound_and_its_tombstone_may_say_less() -> None:
    story = sound()
    canceled_on_request(story)
    judge(story.evidence()).require_sound()


def test_a_job_whose_cancel_came_too_late_may_end_as_it_would_have() -> None:
    story = sound()
    story.asked["w1"] = Piece("w1", canceled=True)
    story.cancel("j1", Fail(409, "too late"))
    judge(story.evidence()).require_sound()


def taken_over() -> Story:
    """A job that ran a second time, by another worker, which ended it."""
    story, job = Story(), succeeded("j1", "w1", fence="f2", run="r2")
    story.submit("w1", accepted("j1"))
    story.ran("j1", "w1", what=What.START)
    story.ran("j1", "w1", at=9.0, fence="f2", run="r2", worker=RIVAL, runner=RIVAL + 1)
    story.ended(job)
    return story


@pytest.mark.parametrize(
    ("cause", "seconds"),
    [
        (Death("worker-1", WORKER, 3.0, "signal SIGKILL"), [6.0]),
        (Death("runner", RUNNER, 3.0, "killed"), []),
        (Trouble("freeze", 2.0, 12.0, pid=WORKER), []),
        (Trouble("drain", 2.0, 3.0, pid=WORKER), []),
        (Trouble("store", 2.0, 3.0), []),
        (Trouble("store", 2.0), []),
        (Trouble("stall", 2.0, 5.0), []),
    ],
)
def test_a_second_start_is_sound_where_something_happened_to_the_first(
    cause: Death | Trouble, seconds: list[float]
) -> None:
    story = taken_over()
    (story.damage.deaths if isinstance(cause, Death) else story.damage.troubles).append(cause)  # type: ignore[arg-type]
    verdict = judge(story.evidence())
    verdict.require_sound()
    assert verdict.takeovers == seconds
    assert verdict.counts.restarts.total() == 1


@pytest.mark.parametrize(
    "elsewhere",
    [
        Death("worker-2", RIVAL, 3.0, "signal SIGKILL"),
        Death("worker-1", WORKER, 0.5, "signal SIGKILL"),
        Death("worker-1", WORKER, 12.0, "signal SIGKILL"),
        Trouble("freeze", 2.0, 4.0, pid=RIVAL),
        Trouble("store", 0.1, 0.9),
        Trouble("broker", 2.0, 3.0),
        Trouble("cache", 2.0, 3.0),
        Trouble("slow", 2.0, 3.0),
    ],
)
def test_what_happened_elsewhere_or_at_another_time_is_no_excuse(elsewhere: Death | Trouble) -> None:
    story = taken_over()
    (story.damage.deaths if isinstance(elsewhere, Death) else story.damage.troubles).append(elsewhere)  # type: ignore[arg-type]
    assert rules(story) == {"R8"}


def test_a_thawed_workers_late_start_is_the_freezes() -> None:
    story = sound()
    story.ran("j1", "w1", at=4.0, fence="f0", run="r0", worker=RIVAL, what=What.START)
    story.damage.troubles.append(Trouble("freeze", 0.5, 3.9, pid=RIVAL))
    judge(story.evidence()).require_sound()


def test_retries_that_were_asked_for_are_sound() -> None:
    story = Story()
    story.submit("w1", accepted("j1"))
    story.asked["w1"] = Piece("w1", AFTER_RETRIES, task={"failures": 1})
    story.ran("j1", "w1", what=What.RAISE)
    story.ran("j1", "w1", at=3.0, attempt=2, fence="f2", run="r2")
    error = JobError(ErrorCode.HANDLER_ERROR, "as asked", retryable=True)
    waiting = running("j1", "w1").waiting(error, until=BORN + 3_000, at=BORN + 2_000)
    again = waiting.claimed(attempt=2, fence="f2", worker="worker-1", lease_seconds=4, at=BORN + 3_000)
    story.ended(again.succeeded(b'{"work":"w1","run":"r2"}', at=BORN + 4_000))
    verdict = judge(story.evidence())
    verdict.require_sound()
    assert verdict.counts.restarts == {"retry": 1}


def test_neighbours_of_a_job_that_kills_its_runner_may_start_again() -> None:
    story = taken_over()
    story.submit("deadly", accepted("j2"))
    story.asked["deadly"] = Piece("deadly", LOSS, "chaos.deadly")
    story.ran("j2", "deadly", at=2.0, what=What.START)
    error = JobError(ErrorCode.WORKER_LOST, "lost", retryable=False)
    story.ended(running("j2", "deadly").failed(error, at=BORN + 5_000))
    verdict = judge(story.evidence())
    verdict.require_sound()
    assert verdict.counts.restarts == {"loss": 1}


def test_a_job_that_chaos_hit_five_times_may_fail_for_it() -> None:
    story = sound()
    story.submit("w2", accepted("j2"))
    for n in range(5):
        story.ran("j2", "w2", at=10.0 * n + 1, fence=f"f{n}", run=f"r{n}", worker=300 + n, what=What.START)
        story.damage.deaths.append(Death("worker-1", 300 + n, 10.0 * n + 2, "signal SIGKILL"))
    error = JobError(ErrorCode.WORKER_LOST, "lost 5 times", retryable=False)
    story.ended(running("j2", "w2").failed(error, at=BORN + 60_000))
    judge(story.evidence()).require_sound()
    del story.effects[-1]
    assert "R22" in rules(story)


def test_what_a_client_that_says_nothing_is_shown_is_counted_only() -> None:
    story = sound()
    story.read("j1", Ok(200, "j1", 0x1200, "running", b""))
    verdict = judge(story.evidence())
    verdict.require_sound()
    assert verdict.counts.stale == 1
