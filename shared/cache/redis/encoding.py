"""How snapshots are written in Redis: as values, and as messages on a gateway's channel. Called by `snapshots`.

    value     1 0000000000008708 T {"id": …        (without the spaces)
              │ │                │ └ the public JSON, to the end
              │ │                └ T terminal, L live, D deleted (then the JSON is empty)
              │ └ the order, 16 decimal digits
              └ version of this encoding
    message   id, newline, value

Text, for the scripts compare orders and people read keys. What is malformed, or of a version from the future, is
nothing: a cache that cannot be read is a miss.
"""

from typing import Final

from shared.models.public import Snapshot

HEADER_BYTES: Final = 18
_VERSION: Final = b"1"
TERMINAL: Final = b"T"
LIVE: Final = b"L"
DELETED: Final = b"D"


def encode(snapshot: Snapshot) -> bytes:
    """The value of `job:{id}`."""
    return b"%b%016d%b%b" % (_VERSION, snapshot.order, flag(snapshot), snapshot.body)


def flag(snapshot: Snapshot) -> bytes:
    if snapshot.deleted:
        return DELETED
    return TERMINAL if snapshot.terminal else LIVE


def encode_message(snapshot: Snapshot) -> bytes:
    """The snapshot with its id: a message, and an entry of `recent:<tenant>`."""
    return b"%b\n%b" % (snapshot.id.encode(), encode(snapshot))


def decode(id: str, value: object) -> Snapshot | None:
    """The snapshot in a value, if there is one."""
    if not isinstance(value, bytes) or len(value) <= HEADER_BYTES or value[:1] != _VERSION:
        return None
    digits, mark = value[1:17], value[17:HEADER_BYTES]
    if not digits.isdigit() or mark not in (TERMINAL, LIVE, DELETED):
        return None
    return Snapshot(id, int(digits), mark != LIVE, value[HEADER_BYTES:], deleted=mark == DELETED)


def decode_message(message: bytes) -> Snapshot | None:
    """The snapshot in a message of a gateway's channel, if there is one."""
    job, _, value = message.partition(b"\n")
    return decode(job.decode(errors="replace"), value)
