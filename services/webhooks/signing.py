"""Standard Webhooks: the headers that let any of its libraries verify a message. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """keys: the secrets' bytes, the current one first. A receiver accepts any one of the signatures."""

    keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"SigningKeys({len(self.keys)})"


def headers(keys: SigningKeys, *, id: str, at_seconds: int, body: bytes) -> dict[str, str]:
    """For exactly these bytes, sent at about `at_seconds` since the epoch."""
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at_seconds),
        "webhook-signature": signatures(keys.keys, id=id, at_seconds=at_seconds, body=body),
    }


def signatures(keys: Iterable[bytes], *, id: str, at_seconds: int, body: bytes) -> str:
    """One `v1,<base64>` a key, separated by spaces."""
    signed = b".".join((id.encode(), str(at_seconds).encode(), body))
    return " ".join(f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys)
