"""Accepting a job: the publish is the acceptance.

Called by `routes` with a checked body. Returns once Pub/Sub has acknowledged the message (or, for a job with a time to
run at, once its timer is written): from then on it will happen. Nothing else is written on this path.
"""

import logging

import orjson

from services.gateway.handlers import Handler, Handlers
from services.gateway.problems import INVALID_REQUEST, TOO_LARGE, Problem, unavailable
from services.gateway.settings import Settings
from services.gateway.submission import Submission
from shared.clock import MILLISECONDS, Clock
from shared.errors import CommitUnknown, MessageRefused, Overloaded, PublishUnknown, Unavailable
from shared.ids import Ids
from shared.messaging.contract import Message, Publisher
from shared.messaging.topics import Names
from shared.models.envelope import Envelope
from shared.models.job import Job, JobSpec
from shared.storage.contract import Schedules, Timer

_log = logging.getLogger("sluice.gateway")


class Submitter:
    def __init__(
        self,
        settings: Settings,
        *,
        ids: Ids,
        handlers: Handlers,
        publisher: Publisher,
        schedules: Schedules,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._ids = ids
        self._handlers = handlers
        self._publisher = publisher
        self._schedules = schedules
        self._clock = clock
        self._names = Names(settings.prefix)

    async def submit(self, submission: Submission, *, tenant: str, traceparent: str | None) -> Job:
        """The accepted job. Raises Problem; a 503 says in `accepted` whether the job may exist all the same."""
        handler = await self._handlers.find(submission.handler)
        handler.check(submission.input)
        spec = self._spec(submission, handler, tenant, traceparent)
        try:
            return await self._accept(spec)
        except (PublishUnknown, CommitUnknown):
            raise unavailable("It is not known whether the job was accepted.", accepted="unknown") from None
        except (Unavailable, Overloaded):
            raise unavailable("The job was not accepted.", accepted=False) from None
        except MessageRefused:
            raise Problem(TOO_LARGE, "The job is too large for a message.") from None

    def _spec(self, submission: Submission, handler: Handler, tenant: str, traceparent: str | None) -> JobSpec:
        now = self._clock.now()
        entry = handler.entry
        expires_in = submission.expires_in_seconds or self._settings.expires_in_seconds
        expires_at = (submission.run_at or now) + expires_in * MILLISECONDS
        issued = self._ids.issue("job", tenant, created_at=now, lifetime_ms=expires_at - now)
        return JobSpec(
            id=issued.text,
            tenant=tenant,
            handler=entry.name,
            queue=entry.queue,
            input=_render(submission.input),
            created_at=now,
            expires_at=expires_at,
            timeout_seconds=submission.timeout_seconds or entry.timeout_seconds,
            max_attempts=submission.max_attempts or entry.max_attempts,
            scheduled_for=submission.run_at,
            labels=submission.labels,
            traceparent=traceparent,
        )

    async def _accept(self, spec: JobSpec) -> Job:
        envelope = Envelope(spec)
        topic = self._names.jobs(spec.queue, spec.lane)
        if spec.scheduled_for is None:
            message = Message(envelope.encode(), envelope.attributes)
            await self._publisher.publish(topic, message, timeout_seconds=self._settings.publish_seconds)
            return Job.queued(spec)
        timer = Timer(
            f"{spec.id}:{envelope.attempt}", spec.scheduled_for, topic, envelope.encode(), envelope.attributes
        )
        job = Job.scheduled(spec)
        await self._schedules.schedule(job, timer)
        return job


def _render(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise Problem(INVALID_REQUEST, "The input holds a value that JSON cannot carry on.") from None
