"""Verifying what Sluice sends to your endpoint: Standard Webhooks, without a dependency.

    event = Webhook("whsec_…").verify(body, request.headers)

Any Standard Webhooks library does the same. Give it the bytes as they came: JSON that was parsed and written again is
not what was signed.
"""

import base64
import binascii
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

TOLERANCE_SECONDS = 300
"""How far the sender's clock and ours may be apart, and how old a message may be: what is older may be a replay."""

_PREFIX = "whsec_"


class WebhookVerificationError(Exception):
    """The message is not from who holds the secret, was changed on its way, or is too old."""


class Webhook:
    """One endpoint's secret.

    clock: seconds since the epoch; for tests.
    """

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        """Raises ValueError for what is no secret, without quoting it."""
        try:
            self._key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError("the secret is not whsec_ and base64") from None
        if not self._key:
            raise ValueError("the secret is empty")
        self._clock = clock

    def __repr__(self) -> str:
        return "Webhook(…)"

    def verify(self, body: bytes | str, headers: Mapping[str, str]) -> Any:
        """The message's JSON, if it is genuine. Raises WebhookVerificationError, also where a header is missing."""
        raw = body.encode() if isinstance(body, str) else bytes(body)
        given = {name.lower(): value for name, value in headers.items()}
        try:
            id, timestamp = given["webhook-id"], given["webhook-timestamp"]
            signatures = given["webhook-signature"].split(" ")
        except KeyError as missing:
            raise WebhookVerificationError(f"the header {missing.args[0]} is missing") from None
        self._check_time(timestamp)
        if not any(self._is_ours(signature, id, timestamp, raw) for signature in signatures):
            raise WebhookVerificationError("no signature fits")
        try:
            return json.loads(raw)
        except ValueError:
            raise WebhookVerificationError("the body is not JSON") from None

    def _check_time(self, timestamp: str) -> None:
        if not timestamp.isascii() or not timestamp.isdecimal():
            raise WebhookVerificationError("the timestamp is not a number")
        if abs(self._clock() - int(timestamp)) > TOLERANCE_SECONDS:
            raise WebhookVerificationError("the message is too old, or from the future")

    def _is_ours(self, signature: str, id: str, timestamp: str, body: bytes) -> bool:
        version, _, found = signature.partition(",")
        expected = base64.b64encode(hmac.digest(self._key, f"{id}.{timestamp}.".encode() + body, "sha256"))
        return version == "v1" and hmac.compare_digest(found.encode(), expected)
