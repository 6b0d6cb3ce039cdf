"""A job's state as an HTTP answer: the bytes as they are, with the headers that say how to go on. Pure."""

from collections.abc import Mapping
from dataclasses import field

from aiohttp import web

from services.gateway.http.headers import entity_tag, known_order
from services.gateway.http.replies import Reply
from shared.models.public import Snapshot
from shared.values import value

POLL_SECONDS = 1


@value(frozen=True, slots=True)
class Accepted:
    """A job that will happen, or is over: its state, and the headers that say how the request came by it."""

    state: Snapshot
    headers: Mapping[str, str] = field(default_factory=dict)


def job_reply(
    snapshot: Snapshot,
    *,
    status: int = 200,
    if_none_match: str | None = None,
    headers: Mapping[str, str] | None = None,
    retry_after: int = POLL_SECONDS,
) -> Reply:
    """The job; or 304 when the client says that it has this state already. retry_after: seconds, if it is not over."""
    answer = {"ETag": entity_tag(snapshot.order), "Cache-Control": "private, no-cache", **(headers or {})}
    if not snapshot.terminal:
        answer["Retry-After"] = str(retry_after)
    if if_none_match is not None and (if_none_match.strip() == "*" or known_order(if_none_match) == snapshot.order):
        return Reply(304, answer, None)
    return Reply(status, answer, snapshot.body)


def job_answer(
    snapshot: Snapshot,
    *,
    status: int = 200,
    if_none_match: str | None = None,
    headers: Mapping[str, str] | None = None,
    retry_after: int = POLL_SECONDS,
) -> web.Response:
    """As `job_reply`, for the application."""
    reply = job_reply(snapshot, status=status, if_none_match=if_none_match, headers=headers, retry_after=retry_after)
    return reply.response()


def with_input(snapshot: Snapshot, input: bytes) -> bytes:
    """The job's JSON with its input as the last member; null where nobody at hand knows it (then `input` is empty)."""
    return snapshot.body[:-1] + b',"input":' + (input or b"null") + b"}"
