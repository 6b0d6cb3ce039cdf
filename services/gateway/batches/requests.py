"""What a client asks for when it posts a batch, but for the inputs: read from the JSON body or the query. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from services.gateway.http.fields import BeyondError, Fields, MalformedError, number, text, whole
from services.gateway.http.labels import read_labels
from services.gateway.jobs.submission import MAX_ATTEMPTS, MAX_EXPIRES_IN_SECONDS, MAX_TIMEOUT_SECONDS
from services.gateway.webhooks.requests import read_batch_webhook
from shared.models.webhook import JobWebhook

MAX_REDUCE_BYTES: Final = 8_192
"""Of the options of a reduction."""
LABEL: Final = "label."
_NUMBERS: Final = frozenset({"timeout_seconds", "max_attempts", "expires_in_seconds"})
_OBJECTS: Final = frozenset({"reduce", "webhook"})
_HANDLER, _ATTEMPTS = text(), whole(least=1, most=MAX_ATTEMPTS)
_TIMEOUT = number(above=0, most=MAX_TIMEOUT_SECONDS)
_EXPIRES_IN = whole(least=1, most=MAX_EXPIRES_IN_SECONDS)


@dataclass(frozen=True, slots=True)
class ReduceRequest:
    handler: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """None: not said, so the handler's or the system's default holds."""

    handler: str
    labels: Mapping[str, str] = field(default_factory=dict)
    webhook: JobWebhook | None = None
    reduce: ReduceRequest | None = None
    timeout_seconds: float | None = None
    max_attempts: int | None = None
    expires_in_seconds: int | None = None


def parse_batch(body: Any) -> tuple[BatchRequest, list[Any]]:
    """The request and its inputs, unchecked. Raises Problem: 400 for what is malformed or unknown, 422 for what is
    beyond a limit, every fault at once.
    """
    fields = Fields(body, of="a batch")
    inputs = fields.required("inputs", _list)
    return _request(fields), inputs or []


def parse_options(options: Mapping[str, Any]) -> BatchRequest:
    """options: as `options_of` has them. Raises as `parse_batch`."""
    return _request(Fields(dict(options), of="this query"))


def options_of(query: Mapping[str, str]) -> dict[str, Any]:
    """The members that a query spells, as the JSON body has them.

    `label.team=a` is a label; a number is written as in JSON; `reduce` and `webhook` are JSON objects, or for short the
    name of the reducer and the URL. Raises Problem 400 as `parse_batch`, later, for what cannot be read.
    """
    options: dict[str, Any] = {}
    labels = {name.removeprefix(LABEL): value for name, value in query.items() if name.startswith(LABEL)}
    for name, value in query.items():
        if name in _NUMBERS or (name in _OBJECTS and value.startswith("{")):
            options[name] = _loaded(value)
        elif name in _OBJECTS:
            options[name] = {"handler" if name == "reduce" else "url": value}
        elif not name.startswith(LABEL):
            options[name] = value
    return {"labels": labels, **options} if labels else options


def _loaded(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value  # of the wrong type, which is said where it is read


def _request(fields: Fields) -> BatchRequest:
    handler = fields.required("handler", _HANDLER)
    request = BatchRequest(
        handler=handler or "",
        labels=fields.optional("labels", read_labels) or {},
        webhook=fields.optional("webhook", read_batch_webhook),
        reduce=fields.optional("reduce", _reduce),
        timeout_seconds=fields.optional("timeout_seconds", _TIMEOUT),
        max_attempts=fields.optional("max_attempts", _ATTEMPTS),
        expires_in_seconds=fields.optional("expires_in_seconds", _EXPIRES_IN),
    )
    fields.finish()
    return request


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedError("must be an array")
    if not value:
        raise BeyondError("must have at least one input")
    return value


def _reduce(value: Any) -> ReduceRequest:
    if not isinstance(value, dict) or "handler" not in value:
        raise MalformedError("must be an object with handler, and the reducer's options")
    options = {name: each for name, each in value.items() if name != "handler"}
    if len(orjson.dumps(options)) > MAX_REDUCE_BYTES:
        raise BeyondError(f"its options must be at most {MAX_REDUCE_BYTES} bytes")
    return ReduceRequest(_HANDLER(value["handler"]), options)
