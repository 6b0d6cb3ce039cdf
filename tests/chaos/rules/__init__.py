"""What must hold of every run, as one function a promise: each yields what breaks it. Pure; `checker` runs them all.

The numbers are those of `docs/guarantees.md`. A rule looks at evidence only, never at how the system works.
"""

from typing import Final

from tests.chaos.rules.accepting import (
    a_request_is_one_job,
    accepted_jobs_are_known,
    accepted_jobs_are_over,
    started_jobs_are_over,
    what_was_refused_never_runs,
)
from tests.chaos.rules.ending import (
    events_tell_how_it_ended,
    jobs_end_as_they_must,
    results_are_of_the_claim_that_ended_the_job,
)
from tests.chaos.rules.running import (
    a_fence_is_for_one_run,
    effects_happen_once,
    further_starts_have_a_cause,
    processes_end_when_told,
    what_never_started_never_ran,
)
from tests.chaos.rules.showing import finished_jobs_never_change, nothing_fails_inside, states_never_go_back
from tests.chaos.rules.violation import Rule

RULES: Final[tuple[Rule, ...]] = (
    accepted_jobs_are_over,
    started_jobs_are_over,
    accepted_jobs_are_known,
    what_was_refused_never_runs,
    a_request_is_one_job,
    effects_happen_once,
    a_fence_is_for_one_run,
    what_never_started_never_ran,
    finished_jobs_never_change,
    results_are_of_the_claim_that_ended_the_job,
    jobs_end_as_they_must,
    further_starts_have_a_cause,
    states_never_go_back,
    events_tell_how_it_ended,
    nothing_fails_inside,
    processes_end_when_told,
)
