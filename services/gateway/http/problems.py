"""Refusals: every answer of 400 and above, as RFC 9457 problem details.

A `Problem` is raised anywhere below a route and rendered by `edge`. Each type is declared here, once, with the
sentence that its page shows. Nothing in a problem names a backend, a path of ours or a secret.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from services.gateway.http.replies import Reply


@dataclass(frozen=True, slots=True)
class ProblemType:
    slug: str
    status: int
    title: str
    explanation: str


INVALID_REQUEST = ProblemType(
    "invalid-request",
    400,
    "The request is not valid",
    "A field, header or the JSON itself is malformed, or a field is unknown.",
)
UNAUTHENTICATED = ProblemType(
    "unauthenticated",
    401,
    "No valid API key",
    "Send `Authorization: Bearer sk_<key id>_<secret>` with a key that exists and is not revoked or expired.",
)
FORBIDDEN = ProblemType(
    "forbidden", 403, "The key may not do this", "The key is valid but lacks the scope that this route needs."
)
NOT_FOUND = ProblemType("not-found", 404, "There is no such thing", "Nothing by that address belongs to you.")
UNKNOWN_HANDLER = ProblemType(
    "unknown-handler",
    404,
    "No worker has announced that handler",
    "The name is misspelt, or its worker was never started.",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed", 405, "That method is not for this address", "See the `Allow` header."
)
REQUEST_TIMEOUT = ProblemType(
    "request-timeout", 408, "The body did not arrive in time", "Send the whole request without long pauses."
)
GONE = ProblemType("gone", 410, "It is past its retention, or was deleted", "It existed; its data is no longer kept.")
TOO_LARGE = ProblemType(
    "too-large", 413, "The request is too large", "Put large data in a bucket and send its address."
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type", 415, "That kind of body is not taken", "Send `application/json`, uncompressed."
)
REDUCER = ProblemType(
    "reducer",
    422,
    "The handler reduces batches",
    "It makes one answer of the outputs of a batch: name it in `reduce` of `POST /v1/batches`. No job is posted to it.",
)
INVALID_INPUT = ProblemType(
    "invalid-input",
    422,
    "The input does not fit the handler",
    "`errors` says where, as JSON Pointers into the input, and why.",
)
OUT_OF_RANGE = ProblemType(
    "out-of-range", 422, "A value is beyond its limit", "`errors` says which field, and its limit."
)
UNKNOWN_REDUCER = ProblemType(
    "unknown-reducer",
    422,
    "That handler does not reduce",
    "A reducer makes one answer of a batch's outputs. `GET /v1/handlers` says which handlers do (`reduces`).",
)
BATCH_CLOSED = ProblemType(
    "batch-closed",
    409,
    "The batch takes no more items",
    "It was canceled, or its deadline has passed, while it was uploaded. Post it again, under a new key.",
)
BATCH_TERMINAL = ProblemType(
    "batch-terminal",
    409,
    "The batch is over already",
    "A batch that is over cannot be canceled. `batch` is its state, which will not change any more.",
)
BATCH_NOT_TERMINAL = ProblemType(
    "batch-not-terminal",
    409,
    "The batch is not over yet",
    "Wait for it, or cancel it. Its outputs can be had as far as they are there: `?partial=true`.",
)
ALREADY_TERMINAL = ProblemType(
    "already-terminal",
    409,
    "The job is over already",
    "A job that is over cannot be canceled. `job` is its state, which will not change any more.",
)
NOT_TERMINAL = ProblemType(
    "not-terminal",
    409,
    "The job is not over yet",
    "Only a job that is over can be deleted or replayed. `job` is its state. Cancel it, or wait until it is over.",
)
INPUT_UNKNOWN = ProblemType(
    "input-unknown",
    409,
    "Nobody at hand knows the job's input",
    "It ended before a worker met its message, which has the input. Ask again once `handler` of the job is not null.",
)
KEY_REVOKED = ProblemType(
    "key-revoked",
    409,
    "The key is revoked or has expired",
    "Such a key stays as it is. Make a new one with `POST /v1/keys`.",
)
DESTINATION_NOT_ALLOWED = ProblemType(
    "destination-not-allowed",
    422,
    "That address may not be called",
    "Webhooks go to https URLs with a public DNS name, port 443 or from 1024 on, without credentials in them.",
)
WEBHOOK_SECRET_MISSING = ProblemType(
    "webhook-secret-missing",
    409,
    "There is no secret to sign the webhook with",
    "`POST /v1/webhooks/secret/rotate` makes it, and shows it once. `webhook` of a job is signed with it.",
)
WEBHOOK_DISABLED = ProblemType(
    "webhook-disabled",
    409,
    "The webhook is disabled",
    "What is for it is held. `POST /v1/webhooks/{id}/enable` ends that.",
)
IDEMPOTENCY_KEY_REUSED = ProblemType(
    "idempotency-key-reused",
    422,
    "The Idempotency-Key was used for another request",
    "A key stands for one request. Send the same body again, or a new key.",
)
IDEMPOTENCY_IN_PROGRESS = ProblemType(
    "idempotency-in-progress",
    409,
    "The first request with this Idempotency-Key is not accepted yet",
    "Send it again, as it is, after `Retry-After` seconds.",
)
RATE_LIMITED = ProblemType(
    "rate-limited",
    429,
    "Too many requests with this key",
    "`RateLimit-Policy` says how many are allowed, `Retry-After` when to go on.",
)
INTERNAL = ProblemType(
    "internal", 500, "We failed", "It is logged under the request id in `instance`. Trying again is safe."
)
UNAVAILABLE = ProblemType(
    "unavailable",
    503,
    "Not possible right now",
    "Something that this needs does not answer, or there is too much to do. Try again after `Retry-After` seconds.",
)

TYPES: Mapping[str, ProblemType] = {each.slug: each for each in list(vars().values()) if isinstance(each, ProblemType)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One of several things wrong: where (a JSON Pointer, RFC 6901) and what."""

    pointer: str
    detail: str


@dataclass(slots=True)
class Problem(Exception):
    """Refuses the request.

    members: further members of the problem object, such as `accepted`.
    """

    type: ProblemType
    detail: str
    errors: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)

    def response(self, request_id: str) -> web.Response:
        return self.reply(request_id).response()

    def reply(self, request_id: str) -> Reply:
        body: dict[str, Any] = {
            "type": f"/problems/{self.type.slug}",
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
            "instance": request_id,
            **self.members,
        }
        if self.errors:
            body["errors"] = [{"pointer": each.pointer, "detail": each.detail} for each in self.errors]
        headers = {"Cache-Control": "no-store", **self.headers}
        return Reply(self.type.status, headers, orjson.dumps(body), "application/problem+json")


def unavailable(detail: str, *, retry_after: int = 1, **members: Any) -> Problem:
    """503 with `Retry-After` in seconds."""
    return Problem(UNAVAILABLE, detail, headers={"Retry-After": str(retry_after)}, members=members)


def gone(of: str = "job") -> Problem:
    """410, for what is past its retention or was deleted."""
    return Problem(GONE, f"The {of}'s data is no longer kept.")


def not_found() -> Problem:
    """404, the same to the byte for what does not exist and what belongs to another."""
    return Problem(NOT_FOUND, "There is nothing here.")
