"""What a message may measure, checked before it is sent: the emulator checks little, and a refusal costs a round trip.

Called by every Publisher. The numbers are Pub/Sub's quotas (cloud.google.com/pubsub/quotas), in `contract`.
"""

from collections.abc import Mapping
from functools import lru_cache

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
    size = len(message.body) + _names(tuple(message.attributes)) + _values(message.attributes)
    if size > MAX_MESSAGE_BYTES:
        raise MessageRefused(f"{size} bytes; at most {MAX_MESSAGE_BYTES} are taken")
    return size


@lru_cache(maxsize=64)  # there are a few kinds of messages
def _names(names: tuple[str, ...]) -> int:
    """Bytes of all of them together."""
    if len(names) > MAX_ATTRIBUTES:
        raise MessageRefused(f"{len(names)} attributes; at most {MAX_ATTRIBUTES} are taken")
    sizes = [_encoded(name) for name in names]
    if not all(0 < size <= MAX_ATTRIBUTE_NAME_BYTES for size in sizes) or any(n.startswith(_RESERVED) for n in names):
        raise MessageRefused(f"an attribute's name is empty, reserved, or longer than {MAX_ATTRIBUTE_NAME_BYTES} bytes")
    return sum(sizes)


def _values(attributes: Mapping[str, str]) -> int:
    """Bytes of all of them together."""
    text = "".join(attributes.values())
    if len(text) <= MAX_ATTRIBUTE_BYTES and text.isascii():
        return len(text)
    size = 0
    for name, value in attributes.items():
        value_bytes = _encoded(value)
        if value_bytes > MAX_ATTRIBUTE_BYTES:
            raise MessageRefused(f"attribute {name} has {value_bytes} bytes; at most {MAX_ATTRIBUTE_BYTES} are taken")
        size += value_bytes
    return size


def _encoded(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise MessageRefused("an attribute is not valid Unicode") from None
