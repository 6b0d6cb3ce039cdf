"""One message, from delivery to verdict: claim → run → finish → tell → acknowledge.

Called by the consumer for each delivery. Whatever breaks on the way, the message comes again and finds what was done:
a claim that lapsed is taken over, a finished job is only told again. Every outcome of a handler is a type; what is made
of it is decided in `retry` and by the state machine of the job.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.worker.claim import (
    MAX_LOST,
    Busy,
    Claim,
    Claimant,
    Claimed,
    Claims,
    Old,
    Over,
    Suspected,
    given_up,
    suspected,
)
from services.worker.execution.engine import Engine
from services.worker.execution.errors import UnknownHandler
from services.worker.execution.outcomes import (
    Canceled,
    Ended,
    Failed,
    Interrupted,
    Lost,
    Rejected,
    RetryRequested,
    Succeeded,
    TimedOut,
)
from services.worker.execution.task import Task
from services.worker.holding import ClaimLost, Holding, Transition
from services.worker.keeper import Keeper
from services.worker.measures import Measures
from services.worker.reducing import Reducing
from services.worker.reports import Reports
from services.worker.retry import Backoff, after_failure
from services.worker.tell import Telling
from shared.clock import MILLISECONDS, Clock
from shared.errors import Overloaded, Refused, Unavailable
from shared.messaging.contract import Acknowledge, Delivery, Redeliver, Verdict
from shared.messaging.topics import Names
from shared.models.envelope import Envelope, MalformedEnvelope
from shared.models.job import ErrorCode, Job, JobError, JobStatus
from shared.storage.contract import JobClaims, Timer, Version
from shared.telemetry.traces import Traces, Trail

POISON_SECONDS = 60.0
"""A message that cannot be read comes back so late that it disturbs nobody, until the broker gives it up."""
TROUBLE_SECONDS = 5.0
"""Messages met by a dependency that does not answer come back within about so long."""
UNKNOWN_SECONDS = 30.0
"""A handler that this worker does not have may be one that newer workers of the queue do."""

_log = logging.getLogger("sluice.worker")


@dataclass(frozen=True, slots=True)
class Tools:
    """What working on a message takes."""

    claims: Claims
    claimant: Claimant
    store: JobClaims
    engine: Engine
    reducing: Reducing
    keeper: Keeper
    telling: Telling
    backoff: Backoff
    names: Names
    traces: Traces
    measures: Measures
    reports: Reports
    clock: Clock
    chance: Callable[[], float]


class Work:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def handle(self, delivery: Delivery) -> Verdict:
        """What is to become of the message. Never raises for trouble that passes."""
        try:
            envelope = Envelope.decode(delivery.message.body)
        except MalformedEnvelope as fault:
            _log.error("a message cannot be read", extra={"message_id": delivery.message_id, "fault": str(fault)})
            return Redeliver(POISON_SECONDS)
        destination = self._tools.names.jobs(envelope.spec.queue, envelope.spec.lane)
        traceparent = delivery.message.attributes.get("traceparent") or delivery.message.attributes.get(
            "googclient_traceparent"
        )
        with self._tools.traces.process(destination, traceparent, {"sluice.job": envelope.spec.id}) as trail:
            try:
                return await self._settle(envelope, trail)
            except Refused as fault:
                trail.fail(type(fault).__name__)
                _log.error("a job cannot be stored", extra={"job": envelope.spec.id, "fault": type(fault).__name__})
                return Redeliver(POISON_SECONDS)
            except (Unavailable, Overloaded) as fault:
                trail.fail(type(fault).__name__)
                _log.warning("a job is put off", extra={"job": envelope.spec.id, "fault": type(fault).__name__})
                return Redeliver(TROUBLE_SECONDS * self._tools.chance())

    async def _settle(self, envelope: Envelope, trail: Trail) -> Verdict:
        try:
            self._tools.engine.place(envelope.spec.handler)
        except UnknownHandler:
            _log.warning("a handler is not known here", extra={"handler": envelope.spec.handler})
            return Redeliver(UNKNOWN_SECONDS)
        try:
            claim = await self._tools.claims.claim(envelope)
        except Suspected:
            async with self._tools.engine.seat() as seated:
                if not seated:
                    return Redeliver()
                return await self._follow(await self._tools.claims.claim(envelope, seated=True), trail)
        return await self._follow(claim, trail)

    async def _follow(self, claim: Claim, trail: Trail) -> Verdict:
        self._tools.measures.claim(claim)
        match claim:
            case Old():
                return Acknowledge()
            case Busy(seconds):
                return Redeliver(seconds)
            case Over(job):
                await self._tools.telling.over(job)
                return Acknowledge()
            case Claimed(job, version):
                self._tools.measures.began(job)
                try:
                    return await self._attempt(Holding(job, version, self._tools.store), trail)
                finally:
                    self._tools.measures.released()

    async def _attempt(self, holding: Holding, trail: Trail) -> Verdict:
        """Run the attempt under a lease that is kept, write what became of it, and tell."""
        try:
            job = await self._run(holding)
        except ClaimLost:
            trail.fail("claim_lost")
            return Redeliver(holding.job.lease_seconds)  # never acknowledged here: the new owner may hold this message
        except asyncio.CancelledError:
            await self._release(holding)
            raise
        if job is None:
            await self._release(holding)
            return Redeliver()
        if job.status is JobStatus.RUNNING:
            return Redeliver()  # given back, to be claimed by who can run it alone
        trail.note("sluice.status", str(job.status))
        self._tools.measures.ended(job)
        if job.status.terminal:
            await self._tools.telling.over(job)
        else:
            await self._tools.telling.running(job)
        return Acknowledge()

    async def _run(self, holding: Holding) -> Job | None:
        """Attempt the job, again at once if its runner was lost under it, until its claim ends with a written state.

        That may be one in which it waits, held by nobody, for a run alone. None where it is to be given back: the
        worker leaves, or it keeps losing runners that others kill.
        """
        tools = self._tools
        for _ in range(MAX_LOST):
            run_id = holding.job.fence
            tools.keeper.keep(holding, partial(tools.engine.cancel, run_id))
            try:
                with tools.reports.of(holding.job) as following:
                    job = holding.job
                    outcome = await tools.reducing.run(job.spec, _task(job, holding.version), on_report=following.hear)
                    await tools.reports.flush(following)
            finally:
                tools.keeper.drop(holding)
            if isinstance(outcome, Interrupted):
                return None
            job = await holding.write(self._transition(outcome))
            if job.status is not JobStatus.RUNNING or not job.fence:
                return job
        return None

    def _transition(self, outcome: Ended | TimedOut | Canceled | Lost) -> Transition:
        """The state that follows from how the attempt ended."""
        at = self._tools.clock.now()

        def follow(job: Job) -> tuple[Job, Timer | None]:
            match outcome:
                case Succeeded(output):
                    return job.succeeded(output, at=at), None
                case Canceled():
                    return job.canceled(at=at), None
                case Lost() if job.cancel_requested_at is not None:
                    return job.canceled(at=at), None
                case Lost(_, suspect):
                    return self._taken_again(job, at, suspect=suspect), None
                case RetryRequested(after_seconds, reason):
                    error = JobError(ErrorCode.HANDLER_ERROR, reason, retryable=True)
                    return self._failed(job, error, after_seconds, at)
                case Rejected(reason):
                    return self._failed(job, JobError(ErrorCode.REJECTED, reason, retryable=False), None, at)
                case TimedOut():
                    message = f"the attempt took longer than {job.spec.timeout_seconds:g} s"
                    return self._failed(job, JobError(ErrorCode.ATTEMPT_TIMEOUT, message, retryable=True), None, at)
                case Failed(code, message, retryable):
                    return self._failed(job, JobError(code, message, retryable), None, at)

        return follow

    def _failed(self, job: Job, error: JobError, after_seconds: float | None, at: int) -> tuple[Job, Timer | None]:
        topic = self._tools.names.jobs(job.spec.queue, job.spec.lane)
        return after_failure(job, error, after_seconds=after_seconds, backoff=self._tools.backoff, topic=topic, at=at)

    def _taken_again(self, job: Job, at: int, *, suspect: bool) -> Job:
        """Under a fence of its own, as all that run do. It counts as a loss unless another is known to have done it."""
        taken = self._tools.claimant.take(job if suspect else job.released(), attempt=job.attempt, at=at)
        if taken.lost >= MAX_LOST:
            return given_up(taken, at=at)
        return taken.released() if suspected(taken) else taken

    async def _release(self, holding: Holding) -> None:
        """The worker leaves: let another have the job at once, instead of when the lease lapses."""
        try:
            await asyncio.shield(holding.write(lambda job: (job.released(), None)))
        except (ClaimLost, Unavailable, Overloaded) as fault:
            _log.warning(
                "a job was not released; its lease will lapse",
                extra={"job": holding.job.spec.id, "fault": type(fault).__name__},
            )


def _task(job: Job, claimed: Version) -> Task:
    """The attempt, named by its fence: no other claim has it. What is left of the lifetime, the store's clock says."""
    spec = job.spec
    left_ms = max(0, spec.expires_at - claimed.updated_at // 1_000)
    allowed_ms = min(round(spec.timeout_seconds * MILLISECONDS), left_ms)
    return Task(
        run_id=job.fence,
        job_id=spec.id,
        handler=spec.handler,
        input=spec.input,
        attempt=job.attempt,
        max_attempts=spec.max_attempts,
        fence=job.fence,
        deadline_at=(job.started_at or 0) + allowed_ms,
        timeout_seconds=allowed_ms / MILLISECONDS,
        alone=suspected(job),
    )
