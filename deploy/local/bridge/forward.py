"""One message, from the emulator to a worker: wrapped as Pub/Sub wraps it, signed, posted, settled by the answer."""

import base64
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from deploy.local.bridge.issuer import Issuer
from deploy.local.bridge.window import Window
from shared.clock import rfc3339
from shared.messaging.contract import Acknowledge, Delivery, Redeliver, Verdict
from shared.messaging.push import REQUEST_SECONDS

TAKEN: Final = frozenset({102, 200, 201, 202, 204})
"""The statuses that Pub/Sub takes for an acknowledgement (cloud.google.com/pubsub/docs/push)."""
AGAIN_SECONDS: Final = 1.0
"""Until the next try, where the answer does not say; Pub/Sub's own backoff begins so."""
LONGEST_SECONDS: Final = 60.0

_log = logging.getLogger("sluice.bridge")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a subscription's messages go."""

    url: str
    audience: str
    window: Window


class Forwarder:
    """addresses: by subscription."""

    def __init__(
        self, project: str, addresses: Mapping[str, Address], issuer: Issuer, session: aiohttp.ClientSession
    ) -> None:
        self._project = project
        self._addresses = addresses
        self._issuer = issuer
        self._session = session

    async def handle(self, delivery: Delivery) -> Verdict:
        """What is to become of the message, by the worker's answer."""
        address = self._addresses[delivery.subscription]
        async with address.window:
            try:
                verdict = await self._posted(delivery, address)
            except (aiohttp.ClientError, TimeoutError, OSError) as fault:
                _log.warning("a push was not answered", extra={"fault": type(fault).__name__})
                verdict = Redeliver(AGAIN_SECONDS)
        if isinstance(verdict, Acknowledge):
            address.window.succeeded()
        else:
            address.window.refused()
        return verdict

    async def _posted(self, delivery: Delivery, address: Address) -> Verdict:
        headers = {
            "Authorization": f"Bearer {self._issuer.token(address.audience)}",
            "Content-Type": "application/json",
            "User-Agent": "CloudPubSub-Google",
        }
        body = io.BytesIO(wrapped(delivery, self._project))
        async with self._session.post(address.url, data=body, headers=headers, allow_redirects=False) as answer:
            if answer.status in TAKEN:
                return Acknowledge()
            if answer.status not in {429, 503}:
                _log.warning("a push was refused", extra={"status": answer.status})
            return Redeliver(_seconds(answer.headers.get("Retry-After", "")))


def wrapped(delivery: Delivery, project: str) -> bytes:
    """The body of the push."""
    message: dict[str, Any] = {
        "data": base64.b64encode(delivery.message.body).decode(),
        "attributes": dict(delivery.message.attributes),
        "messageId": delivery.message_id,
        "publishTime": rfc3339(delivery.published_at),
    }
    fields: dict[str, Any] = {
        "message": message,
        "subscription": f"projects/{project}/subscriptions/{delivery.subscription}",
    }
    if delivery.delivery_attempt:
        fields["deliveryAttempt"] = delivery.delivery_attempt
    return orjson.dumps(fields)


def _seconds(retry_after: str) -> float:
    return min(LONGEST_SECONDS, float(retry_after)) if retry_after.isdecimal() else AGAIN_SECONDS


def timeout() -> aiohttp.ClientTimeout:
    """As long as Pub/Sub waits for an answer."""
    return aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=5)
