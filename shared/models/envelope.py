"""The message that carries a job to a worker: the spec and the number of the attempt, as one JSON body.

The input's bytes are spliced in unparsed. Attributes are for routing and tracing only; the body alone is enough.
Written by the gateway, the scheduler and the aggregator (reduce); read by the worker. Harmless twice: the claim is by
precondition and attempt.
"""

from collections.abc import Callable
from typing import Any

import orjson

from shared.models.batch import BatchSpec
from shared.models.job import JobSpec, Lane
from shared.models.webhook import JobWebhook
from shared.values import value

VERSION = 1
_ID = "job_"
"""Stands for an item's id; it comes before anything that a client has chosen."""


class MalformedEnvelope(ValueError):
    """The body is not an envelope of a version that this code reads."""


@value(frozen=True, slots=True)
class Envelope:
    spec: JobSpec
    attempt: int = 1

    @property
    def attributes(self) -> dict[str, str]:
        """Routing attributes: `v, id, tenant, handler, attempt`, and `traceparent` if there is one."""
        spec = self.spec
        found = {
            "v": str(VERSION),
            "id": spec.id,
            "tenant": spec.tenant,
            "handler": spec.handler,
            "attempt": str(self.attempt),
        }
        if spec.traceparent:
            found["traceparent"] = spec.traceparent
        return found

    def encode(self) -> bytes:
        spec = self.spec
        return orjson.dumps(
            {
                "v": VERSION,
                "attempt": self.attempt,
                "id": spec.id,
                "tenant": spec.tenant,
                "handler": spec.handler,
                "queue": spec.queue,
                "lane": spec.lane,
                "created_at": spec.created_at,
                "expires_at": spec.expires_at,
                "timeout_seconds": spec.timeout_seconds,
                "max_attempts": spec.max_attempts,
                "scheduled_for": spec.scheduled_for,
                "labels": dict(spec.labels),
                "cache_key": spec.cache_key,
                "cache_for_seconds": spec.cache_for_seconds,
                "batch": spec.batch,
                "index": spec.index,
                "replay_of": spec.replay_of,
                "traceparent": spec.traceparent,
                **({"webhook": spec.webhook.members()} if spec.webhook else {}),
                "input": orjson.Fragment(spec.input),
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> "Envelope":
        """Raises MalformedEnvelope. Unknown fields are ignored, so that old workers read new messages."""
        try:
            fields = orjson.loads(body)
            if fields["v"] != VERSION:
                raise MalformedEnvelope(f"version {fields['v']!r}")
            return cls(_spec(fields), int(fields["attempt"]))
        except (KeyError, TypeError, ValueError) as fault:
            raise MalformedEnvelope(type(fault).__name__) from None


def items(spec: BatchSpec) -> Callable[[str, int, bytes], bytes]:
    """Encodes the envelope of an item from its id, index and input, at a fraction of the cost of one at a time.

    All that the items of a batch share is rendered once; what is not is put in its places.
    """
    example = Envelope(spec.item(_ID, 0, b"0")).encode()
    head, _, rest = example.partition(b'"id":"%b"' % _ID.encode())
    middle, mark, tail = rest.rpartition(b',"index":0,')
    tail = tail.removesuffix(b"0}")
    assert mark
    assert tail.endswith(b'"input":')

    def encode(id: str, index: int, input: bytes) -> bytes:
        return b'%b"id":"%b"%b,"index":%d,%b%b}' % (head, id.encode(), middle, index, tail, input)

    return encode


def _spec(fields: dict[str, Any]) -> JobSpec:
    return JobSpec(
        id=fields["id"],
        tenant=fields["tenant"],
        handler=fields["handler"],
        queue=fields["queue"],
        lane=Lane(fields["lane"]),
        input=orjson.dumps(fields["input"]),
        created_at=fields["created_at"],
        expires_at=fields["expires_at"],
        timeout_seconds=fields["timeout_seconds"],
        max_attempts=fields["max_attempts"],
        scheduled_for=fields.get("scheduled_for"),
        labels=fields.get("labels") or {},
        cache_key=fields.get("cache_key"),
        cache_for_seconds=fields.get("cache_for_seconds", 0),
        batch=fields.get("batch"),
        index=fields.get("index"),
        replay_of=fields.get("replay_of"),
        traceparent=fields.get("traceparent"),
        webhook=JobWebhook.of(fields.get("webhook")),
    )
