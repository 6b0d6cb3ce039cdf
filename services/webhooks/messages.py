"""What consumers are sent: the body of a message, from an event and the job that it is about. Pure.

At most 20 KB. The job's output goes along where it fits; where it does not, `output_omitted` says so and `urls.self` is
where it can be read. The bytes are made once, stored with the delivery, and never made again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from shared.clock import rfc3339
from shared.models.event import Event
from shared.models.job import Job
from shared.models.public import render_entry
from shared.models.webhook import JOB_ENDS, JOB_STARTED, message_id, optional_time

MAX_BYTES: Final = 20_000
MAX_ERROR_TEXT: Final = 2_000
"""Characters of an error's message."""
_MEMBERS: Final = ("id", "handler", "status", "created_at", "started_at", "finished_at", "attempt", "labels", "batch")


@dataclass(frozen=True, slots=True)
class Message:
    """id: the `webhook-id`. subject: the id of what it is about. labels: those that endpoints may filter by."""

    id: str
    type: str
    subject: str
    body: bytes
    labels: Mapping[str, str]


def job_message(event: Event, job: Job | None, public_url: str) -> Message:
    """job: as stored, if it is still there and in the state that the event tells of."""
    data = _of_event(event) if job is None else _of_job(job)
    data["urls"] = {"self": f"{public_url}/v1/jobs/{data['id']}"}
    bare = _rendered(event, data)
    if job is not None and job.output is not None and len(bare) + len(job.output) <= MAX_BYTES:
        bare = _rendered(event, {**data, "output": orjson.Fragment(job.output), "output_omitted": False})
    elif len(bare) > MAX_BYTES:
        bare = _rendered(event, {**data, "error": _short(data["error"])})
    return Message(message_id(event.id), event.type, data["id"], bare, event.data.get("labels") or {})


def batch_message(event: Event, public_url: str) -> Message:
    """Of a batch that is over. The event says all of it, but for a reduction's output that is too large for events."""
    data = {**event.data, "urls": {name: public_url + path for name, path in event.data["urls"].items()}}
    body = _rendered(event, data)
    reduce = data.get("reduce")
    if len(body) > MAX_BYTES and reduce is not None:
        short = {"output": None, "output_omitted": True, "error": _short(reduce["error"])}
        body = _rendered(event, {**data, "reduce": {**reduce, **short}})
    return Message(message_id(event.id), event.type, data["id"], body, data.get("labels") or {})


def message_of(event: Event) -> Message:
    """Of anything but a job or a batch: the event's data are what is sent."""
    labels = event.data.get("labels") or {}
    return Message(message_id(event.id), event.type, event.data["id"], _rendered(event, event.data), labels)


def starts(event: Event, job: Job | None) -> Iterator[Event]:
    """The `job.started` of each attempt that `event`, the job's end, shows to have run.

    Starts are told as they happen where somebody is there to tell; this is what makes sure of them.
    """
    if event.type not in JOB_ENDS:
        return
    ran = {each.attempt: each.started_at for each in (job.attempts if job is not None else ())}
    if event.data.get("started_at") is not None and event.data.get("attempt"):
        ran.setdefault(event.data["attempt"], event.data["started_at"])
    for attempt, at in sorted(ran.items()):
        told = {"status": "running", "attempt": attempt, "started_at": at, "finished_at": None, "error_code": None}
        id = f"{event.data['id']}:{JOB_STARTED}:{attempt}"
        yield replace(event, id=id, type=JOB_STARTED, time=at, data={**event.data, **told})


def _of_job(job: Job) -> dict[str, Any]:
    shown = orjson.loads(render_entry(job))
    return {name: shown[name] for name in _MEMBERS} | {
        "output": None,
        "output_omitted": job.output is not None,
        "error": shown["error"],
    }


def _of_event(event: Event) -> dict[str, Any]:
    data = event.data
    code = data.get("error_code")
    return {
        "id": data["id"],
        "handler": data.get("handler") or None,
        "status": data["status"],
        "created_at": optional_time(data.get("created_at")),
        "started_at": optional_time(data.get("started_at")),
        "finished_at": optional_time(data.get("finished_at")),
        "attempt": data.get("attempt"),
        "labels": data.get("labels"),
        "batch": event.batch,
        "output": None,
        "output_omitted": event.type == "job.succeeded",
        "error": None if code is None else {"code": code, "message": "", "retryable": None, "attempts": []},
    }


def _short(error: dict[str, Any] | None) -> dict[str, Any] | None:
    if error is None:
        return None
    short = {**error, "message": error["message"][:MAX_ERROR_TEXT]}
    return {**short, "attempts": []} if "attempts" in error else short


def _rendered(event: Event, data: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"type": event.type, "timestamp": rfc3339(event.time), "data": data})
