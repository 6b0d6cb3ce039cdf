"""Accepting a job: the publish is the acceptance.

Called by `posting` with a checked body, in two steps. `prepare` makes the job that is asked for. `accept` returns once
Pub/Sub has acknowledged its message (or, for a job with a time to run at, once its timer is written): from then on it
will happen. Nothing else is written on this path.
"""

import logging
import math

import orjson

from services.gateway.catalogue.handlers import Handler, Handlers
from services.gateway.http.canonical import cache_key, canonical
from services.gateway.http.problems import INVALID_REQUEST, TOO_LARGE, Problem, unavailable
from services.gateway.jobs.hooks import JobHooks
from services.gateway.jobs.submission import Submission
from services.gateway.settings import Settings
from services.gateway.statistics.usage import Usage
from shared.clock import MILLISECONDS, Clock
from shared.errors import CommitUnknown, MessageRefused, Overloaded, PublishUnknown, Unavailable
from shared.ids import Ids, IssuedId
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
        hooks: JobHooks,
        usage: Usage,
    ) -> None:
        self._settings = settings
        self._hooks = hooks
        self._usage = usage
        self._ids = ids
        self._handlers = handlers
        self._publisher = publisher
        self._schedules = schedules
        self._clock = clock
        self._names = Names(settings.prefix)

    @property
    def takes_seconds(self) -> int:
        """How long `accept` may take."""
        return math.ceil(self._settings.publish_seconds) + 1

    async def prepare(
        self, submission: Submission, *, tenant: str, traceparent: str | None, under: IssuedId | None = None
    ) -> JobSpec:
        """The job that is asked for, not accepted yet. Raises Problem.

        under: the id that was issued when it was asked for first.
        """
        handler = await self._handlers.find(submission.handler)
        handler.refuse_reducer()
        handler.check(submission.input)
        await self._hooks.admit(submission.webhook, tenant)
        return self._spec(submission, handler, tenant, traceparent, under)

    async def accept(self, spec: JobSpec) -> Job:
        """The accepted job. Raises Problem; a 503 says in `accepted` whether the job may exist all the same."""
        try:
            job = await (self._publish(spec) if spec.scheduled_for is None else self._schedule(spec))
        except (PublishUnknown, CommitUnknown):
            raise unavailable("It is not known whether the job was accepted.", accepted="unknown") from None
        except (Unavailable, Overloaded):
            raise unavailable("The job was not accepted.", accepted=False) from None
        except MessageRefused:
            raise Problem(TOO_LARGE, "The job is too large for a message.") from None
        self._usage.submitted(spec.tenant, spec.handler)
        return job

    def _spec(
        self,
        submission: Submission,
        handler: Handler,
        tenant: str,
        traceparent: str | None,
        under: IssuedId | None,
    ) -> JobSpec:
        now = under.created_at if under else self._clock.now()
        entry = handler.entry
        expires_in = submission.expires_in_seconds or self._settings.expires_in_seconds
        expires_at = (submission.run_at or now) + expires_in * MILLISECONDS
        issued = under or self._ids.issue("job", tenant, created_at=now, lifetime_ms=expires_at - now)
        shared = entry.cache_for_seconds > 0 and submission.shareable
        # what is shared runs on one spelling of its input, whoever asked first
        input = canonical(submission.input) if shared else _render(submission.input)
        return JobSpec(
            id=issued.text,
            tenant=tenant,
            handler=entry.name,
            queue=entry.queue,
            input=input,
            created_at=now,
            expires_at=expires_at,
            timeout_seconds=submission.timeout_seconds or entry.timeout_seconds,
            max_attempts=submission.max_attempts or entry.max_attempts,
            scheduled_for=submission.run_at,
            labels=submission.labels,
            cache_key=cache_key(tenant, entry.name, entry.version, input) if shared else None,
            cache_for_seconds=entry.cache_for_seconds if shared else 0,
            traceparent=traceparent,
            webhook=submission.webhook,
        )

    async def _publish(self, spec: JobSpec) -> Job:
        envelope = Envelope(spec)
        message = Message(envelope.encode(), envelope.attributes)
        topic = self._names.jobs(spec.queue, spec.lane)
        await self._publisher.publish(topic, message, timeout_seconds=self._settings.publish_seconds)
        return Job.queued(spec)

    async def _schedule(self, spec: JobSpec) -> Job:
        assert spec.scheduled_for is not None
        envelope, job = Envelope(spec), Job.scheduled(spec)
        topic = self._names.jobs(spec.queue, spec.lane)
        timer = Timer(
            f"{spec.id}:{envelope.attempt}", spec.scheduled_for, topic, envelope.encode(), envelope.attributes
        )
        await self._schedules.schedule(job, timer)
        return job


def _render(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise Problem(INVALID_REQUEST, "The input holds a value that JSON cannot carry on.") from None
