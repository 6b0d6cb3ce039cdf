"""The body of a push: Pub/Sub's wrapped message, as JSON. Read by `push`.

    {"message": {"data": "<base64>", "attributes": {…}, "messageId": "…", "publishTime": "…"},
     "subscription": "projects/…/subscriptions/…", "deliveryAttempt": 5}

Unwrapped pushes are not taken: the emulator garbles bytes in them. Fields that are not known are passed over.
"""

import base64
import binascii
from typing import Any, Final

import orjson

from shared.clock import parse_rfc3339
from shared.messaging.contract import MAX_MESSAGE_BYTES, Delivery, Message

MAX_BODY_BYTES: Final = MAX_MESSAGE_BYTES // 3 * 4 + 512 * 1024
"""The largest message in base64, with room for what is around it."""


class NotWrapped(ValueError):
    """The body is no wrapped message of the subscription that is posted here."""


def delivery_of(body: bytes, subscription: str, ack_id: str) -> Delivery:
    """The message in `body`. Raises NotWrapped.

    subscription: from which it has to be; another's messages are posted to the wrong place.
    ack_id: names this delivery among those that are held; a push has none of its own.
    """
    try:
        fields = orjson.loads(body)
        message, origin = fields["message"], fields["subscription"].rpartition("/")[2]
        found = Delivery(
            subscription=subscription,
            ack_id=ack_id,
            message_id=str(message["messageId"]),
            message=Message(base64.b64decode(message.get("data") or "", validate=True), _attributes(message)),
            published_at=parse_rfc3339(message["publishTime"]),
            delivery_attempt=int(fields.get("deliveryAttempt") or 0),
        )
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error) as fault:
        raise NotWrapped(type(fault).__name__) from None
    if origin != subscription:
        raise NotWrapped("the subscription is another one")
    return found


def _attributes(message: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in (message.get("attributes") or {}).items()}
