"""What a message may measure, checked before it is sent: the emulator checks little, and a refusal costs a round trip.

Called by every Publisher. The numbers are Pub/Sub's quotas (cloud.google.com/pubsub/quotas), in `contract`.
"""

from shared.errors import MessageRefused
from shared.messaging.contract import (
    MAX_ATTRIBUTE_BYTES,
    MAX_ATTRIBUTE_NAME_BYTES,
    MAX_ATTRIBUTES,
    MAX_MESSAGE_BYTES,
    Message,
)

_RESERVED = "goog"
"""Attribute names that begin so are Pub/Sub's own."""


def size_of(message: Message) -> int:
    """Bytes of body and attributes.

    Raises MessageRefused for a message that Pub/Sub would refuse for its size or its attributes.
    """
    attributes = message.attributes
    if len(attributes) > MAX_ATTRIBUTES:
        raise MessageRefused(f"{len(attributes)} attributes; at most {MAX_ATTRIBUTES} are taken")
    size = len(message.body)
    for name, value in attributes.items():
        size += _attribute(name, value)
    if size > MAX_MESSAGE_BYTES:
        raise MessageRefused(f"{size} bytes; at most {MAX_MESSAGE_BYTES} are taken")
    return size


def _attribute(name: str, value: str) -> int:
    name_bytes, value_bytes = _encoded(name), _encoded(value)
    if not 0 < name_bytes <= MAX_ATTRIBUTE_NAME_BYTES or name.startswith(_RESERVED):
        raise MessageRefused(f"an attribute's name is empty, reserved, or longer than {MAX_ATTRIBUTE_NAME_BYTES} bytes")
    if value_bytes > MAX_ATTRIBUTE_BYTES:
        raise MessageRefused(f"attribute {name} has {value_bytes} bytes; at most {MAX_ATTRIBUTE_BYTES} are taken")
    return name_bytes + value_bytes


def _encoded(text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise MessageRefused("an attribute is not valid Unicode") from None
