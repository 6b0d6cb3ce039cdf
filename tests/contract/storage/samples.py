"""Jobs, timers, entries and keys to store. Ids are new at each call, so that tests share a store without meeting."""

import itertools
import os

from shared.models.handler import HandlerEntry
from shared.models.job import Attempt, ErrorCode, Job, JobError, JobSpec, Lane
from shared.storage.contract import Timer

AT = 1_767_225_600_123
HOUR_MS = 3_600_000

_run = os.urandom(6).hex()
_numbers = itertools.count()


def new_id(kind: str = "job") -> str:
    """An id that no test has used, in no earlier run either."""
    return f"{kind}_{_run}{next(_numbers):028d}"


def new_spec(input: bytes = b'{"text":"hello"}') -> JobSpec:
    """A spec with every field set to something that is not its default."""
    return JobSpec(
        id=new_id(),
        tenant="acme",
        handler="text.stats",
        queue="texts",
        input=input,
        created_at=AT,
        expires_at=AT + HOUR_MS,
        timeout_seconds=30.5,
        max_attempts=5,
        lane=Lane.BULK,
        scheduled_for=AT + 1,
        labels={"team": "a", "__name__": "x=y%"},
        cache_key="c" * 64,
        cache_for_seconds=60,
        batch="bat_1",
        index=0,
        replay_of="job_0",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def running(spec: JobSpec | None = None) -> Job:
    """A job as the worker creates it."""
    return Job.queued(spec or new_spec()).claimed(attempt=1, fence="f" * 22, worker="w-1", lease_seconds=15, at=AT + 2)


def failed(job: Job) -> Job:
    error = JobError(ErrorCode.HANDLER_ERROR, "ValueError: no", retryable=True)
    return job.failed(error, at=AT + 500)


def full(job: Job) -> Job:
    """The job in a state that has every field set, whether or not a job could be in it."""
    attempts = tuple(Attempt(n, ErrorCode.ATTEMPT_TIMEOUT, f"late {n}", AT + n, AT + n + 1) for n in range(1, 11))
    return Job(
        spec=job.spec,
        status=job.status,
        attempt=11,
        fence="g" * 22,
        worker="w-2",
        lease_seconds=10,
        lost=3,
        scheduled_for=AT + 3,
        started_at=AT + 4,
        finished_at=AT + 5,
        output=b'{"words":1}',
        error=JobError(ErrorCode.REJECTED, "no", retryable=False),
        attempts=attempts,
        cancel_requested_at=AT + 6,
        fingerprint="0123456789abcdef",
    )


def new_timer(id: str | None = None, *, due_at: int = AT, body: bytes = b"{}") -> Timer:
    return Timer(id or f"{new_id()}:1", due_at, "sluice-jobs-texts-interactive", body, {"v": "1", "__name__": ""})


def timers_of_shard(shard: int, count: int) -> list[str]:
    """New ids of timers that belong to `shard`."""
    ids = (f"{new_id()}:1" for _ in itertools.count())
    return list(itertools.islice((id for id in ids if new_timer(id).shard == shard), count))


def new_entry(name: str, version: str = "1") -> HandlerEntry:
    return HandlerEntry(
        name=name,
        queue="texts",
        version=version,
        input_schema={"$defs": {"__a__": {"type": "string"}}, "type": "object"},
        output_schema={"type": "object", "properties": {"words": {"type": "integer"}}},
        timeout_seconds=30.5,
        max_attempts=5,
        cache_for_seconds=60,
        description="Counts words. Zählt Wörter.",
        reduces=version == "1",
    )
