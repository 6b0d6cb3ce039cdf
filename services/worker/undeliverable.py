"""Dead letters of the broker: a message that it gave up on ends its job as `failed`, code `undeliverable`, and tells.

Called by the consumers of the `…-dead` topics for each message that was delivered a hundred times and never
acknowledged: of a handler that no worker of the queue has, say, or one that a store refuses. The job is ended by the
very claim that would have run it, so whoever runs or ended it meanwhile is never contradicted: under a live lease the
message comes back, a job that is over is only told again. Harmless twice for the same reason.
"""

import logging
from collections.abc import Callable

from services.worker.claim import Busy, Claim, Claimant, Claimed, Claims, Old, Over
from services.worker.measures import Measures
from services.worker.tell import Telling
from shared.clock import Clock
from shared.errors import Overloaded, Refused, Unavailable
from shared.messaging.contract import Acknowledge, Delivery, Redeliver, Verdict
from shared.messaging.topics import Names
from shared.models.envelope import Envelope, MalformedEnvelope
from shared.models.job import ErrorCode, Job, JobError
from shared.storage.contract import JobClaims
from shared.telemetry.traces import Traces
from shared.values import value

UNREADABLE_SECONDS = 600.0
"""A message that cannot be read may be one for a newer worker; until one comes it disturbs nobody."""
TROUBLE_SECONDS = 30.0
"""Messages met by a dependency that does not answer come back within about so long."""

GIVEN_UP = JobError(ErrorCode.UNDELIVERABLE, "the broker gave up on its message", retryable=False)

_log = logging.getLogger("sluice.worker")


@value(frozen=True, slots=True)
class Undertaker(Claimant):
    """Claims a job for its end: what a worker would run, it leaves failed, or expired where its time has passed.

    Our own clock will do for that: it decides over the name of the end alone.
    """

    def take(self, job: Job, *, attempt: int, at: int) -> Job:
        return job.expired(at=at) if at >= job.spec.expires_at else job.undeliverable(GIVEN_UP, at=at)


class Undeliverable:
    """chance: uniform in 0…1, keeps messages that met the same trouble apart."""

    def __init__(
        self,
        store: JobClaims,
        worker: str,
        *,
        telling: Telling,
        measures: Measures,
        names: Names,
        traces: Traces,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._claims = Claims(store, Undertaker(worker, lease_seconds=0, fence=lambda: ""), clock)
        self._telling = telling
        self._measures = measures
        self._names = names
        self._traces = traces
        self._chance = chance

    async def handle(self, delivery: Delivery) -> Verdict:
        """What is to become of the message. Never raises for trouble that passes."""
        try:
            envelope = Envelope.decode(delivery.message.body)
        except MalformedEnvelope as fault:
            _log.error("a dead letter cannot be read", extra={"message_id": delivery.message_id, "fault": str(fault)})
            return Redeliver(UNREADABLE_SECONDS)
        spec = envelope.spec
        destination = self._names.dead(spec.queue, spec.lane)
        with self._traces.process(destination, spec.traceparent, {"sluice.job": spec.id}) as trail:
            try:
                return await self._settle(await self._claims.claim(envelope, seated=True))
            except (Refused, Unavailable, Overloaded) as fault:
                trail.fail(type(fault).__name__)
                _log.warning("a dead letter is put off", extra={"job": spec.id, "fault": type(fault).__name__})
                return Redeliver(TROUBLE_SECONDS * (0.5 + self._chance()))

    async def _settle(self, claim: Claim) -> Verdict:
        match claim:
            case Old():
                return Acknowledge()
            case Busy(seconds):
                return Redeliver(seconds)
            case Over(job) | Claimed(job, _):  # an undertaker claims nothing that goes on
                if job.error == GIVEN_UP:
                    self._measures.given_up(job)
                await self._telling.over(job)
                return Acknowledge()
