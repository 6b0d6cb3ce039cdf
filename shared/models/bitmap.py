"""Sets of item numbers, one bit each: the int whose bit i says that item i is in the set.

Merging two is `|`, which commutes and is idempotent, so that reports which come twice, late or in another order give
the same set; the size is `int.bit_count()`. 100,000 items are 12.5 KB, and merging them takes microseconds.
"""

from collections.abc import Iterable, Iterator
from typing import Final

_SET_BITS: Final = [tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256)]


def of(indexes: Iterable[int]) -> int:
    """The set of these. In one pass, however many: an int that grows bit by bit would be copied for each."""
    found = bytearray()
    for index in indexes:
        byte = index >> 3
        if byte >= len(found):
            found.extend(bytes(byte + 1 - len(found)))
        found[byte] |= 1 << (index & 7)
    return int.from_bytes(found, "little")


def full(count: int) -> int:
    """The set of 0 to `count` - 1."""
    return (1 << count) - 1


def members(bits: int, start: int = 0) -> Iterator[int]:
    """What is in the set, rising, from `start` on."""
    for place, byte in enumerate(to_bytes(bits)[start >> 3 :], start >> 3):
        for bit in _SET_BITS[byte]:
            if place << 3 | bit >= start:
                yield place << 3 | bit


def to_bytes(bits: int) -> bytes:
    """Bit i of the set is bit i % 8 of byte i // 8; no longer than the largest member asks for."""
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def from_bytes(raw: bytes) -> int:
    """The set that `to_bytes` made this of."""
    return int.from_bytes(raw, "little")
