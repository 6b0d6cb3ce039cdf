"""Typed reading of a document's fields, with a default where a field is absent. Used by the codecs.

Fields that hold their default are not written: documents stay small, and a field that a newer version adds is absent
from older documents anyway.
"""

from shared.storage.firestore.protobuf import Message
from shared.storage.firestore.values import time_of


def text(fields: Message, name: str, default: str = "") -> str:
    value = fields.get(name)
    found: str = default if value is None else value.string_value
    return found


def optional_text(fields: Message, name: str) -> str | None:
    value = fields.get(name)
    found: str | None = None if value is None else value.string_value
    return found


def integer(fields: Message, name: str, default: int = 0) -> int:
    value = fields.get(name)
    found: int = default if value is None else value.integer_value
    return found


def optional_integer(fields: Message, name: str) -> int | None:
    value = fields.get(name)
    found: int | None = None if value is None else value.integer_value
    return found


def real(fields: Message, name: str, default: float = 0.0) -> float:
    value = fields.get(name)
    found: float = default if value is None else value.double_value
    return found


def data(fields: Message, name: str) -> bytes:
    value = fields.get(name)
    found: bytes = b"" if value is None else value.bytes_value
    return found


def optional_data(fields: Message, name: str) -> bytes | None:
    value = fields.get(name)
    found: bytes | None = None if value is None else value.bytes_value
    return found


def time(fields: Message, name: str, default: int = 0) -> int:
    value = fields.get(name)
    return default if value is None else time_of(value)


def optional_time(fields: Message, name: str) -> int | None:
    value = fields.get(name)
    return None if value is None else time_of(value)
