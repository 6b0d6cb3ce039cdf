"""Times between us and Firestore: ours are integers, Firestore's are protobuf timestamps.

Wall times are stored as timestamps, so that TTL policies and indexes work on them, and are exact to the millisecond
both ways. The store's own times are kept in microseconds, its precision; a version must return to it unchanged.
"""

from shared.storage.contract import Version
from shared.storage.firestore.protobuf import Message


def set_time(fields: Message, name: str, at: int) -> None:
    """Set field `name` of a document to `at`, milliseconds since the epoch."""
    set_timestamp(fields[name].timestamp_value, at)


def set_timestamp(timestamp: Message, at: int) -> None:
    """Make `timestamp` say `at`, milliseconds since the epoch."""
    timestamp.seconds, milliseconds = divmod(at, 1_000)
    timestamp.nanos = milliseconds * 1_000_000


def time_of(value: Message) -> int:
    """Milliseconds since the epoch of a value that `set_time` made."""
    timestamp = value.timestamp_value
    milliseconds: int = timestamp.seconds * 1_000 + timestamp.nanos // 1_000_000
    return milliseconds


def micros(timestamp: Message) -> int:
    """Microseconds since the epoch of one of the store's own times."""
    microseconds: int = timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000
    return microseconds


def set_version(timestamp: Message, version: Version) -> None:
    """Make `timestamp`, in a precondition, the update time that `version` stands for."""
    timestamp.seconds, microseconds = divmod(version.updated_at, 1_000_000)
    timestamp.nanos = microseconds * 1_000
