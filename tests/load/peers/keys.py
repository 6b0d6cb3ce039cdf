"""The check of an API key that every rival makes, as we do: its hash, in constant time.

Reads LOAD_KEYS: `<key id>:<hex SHA-256 of the secret>`, comma-separated.
"""

# mypy: disable-error-code="import-not-found"
# FastAPI may be missing where this is checked.

import hashlib
import hmac
import os

from fastapi import HTTPException

KEYS = dict(entry.split(":") for entry in os.environ["LOAD_KEYS"].split(","))


def authenticate(authorization: str) -> None:
    """Raises HTTPException 401."""
    _, _, credentials = authorization.partition(" ")
    _, id, secret = credentials.split("_", 2)
    if not hmac.compare_digest(KEYS.get(id, ""), hashlib.sha256(secret.encode()).hexdigest()):
        raise HTTPException(401)
