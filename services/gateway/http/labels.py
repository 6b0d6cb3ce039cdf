"""Labels, as clients send them with jobs and as filters of webhooks. Pure."""

from typing import Any

from services.gateway.http.fields import BeyondError, MalformedError

MAX_LABELS, MAX_LABEL_KEY, MAX_LABEL_VALUE = 16, 63, 256


def read_labels(value: Any) -> dict[str, str]:
    """Raises MalformedError, BeyondError."""
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise MalformedError("must be an object of strings")
    if len(value) > MAX_LABELS:
        raise BeyondError(f"at most {MAX_LABELS} labels")
    if any(not 0 < len(key) <= MAX_LABEL_KEY or len(each) > MAX_LABEL_VALUE for key, each in value.items()):
        raise BeyondError(f"keys of 1 to {MAX_LABEL_KEY} characters, values of at most {MAX_LABEL_VALUE}")
    return value
