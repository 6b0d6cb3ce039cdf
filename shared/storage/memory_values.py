"""What a field of a document may hold, for stores in memory to refuse what Firestore would."""

from typing import Final

from shared.errors import DocumentRefused

MAX_VALUE_BYTES: Final = 1_048_487
"""Firestore's bound on the value of one field."""


def check_values(*values: bytes | None) -> None:
    """Raises DocumentRefused for what no field holds."""
    if any(value is not None and len(value) > MAX_VALUE_BYTES for value in values):
        raise DocumentRefused("a value is larger than a field may be")
