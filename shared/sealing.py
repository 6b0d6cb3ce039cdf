"""Secrets at rest: AES-256-GCM under a ring of keys, bound to the place that a secret is kept in.

A sealed value is key version (1) ‖ nonce (12) ‖ ciphertext and tag. The highest version seals, every version opens, so
a ring is rotated by adding a key and dropping the old one once nothing is sealed with it. `place` is authenticated, not
stored: a value copied into another tenant's document does not open there.

Written by the gateway (webhook secrets and custom headers), opened by the webhooks service.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import ConfigError, SluiceError

_NONCE: Final = 12
_KEY_BYTES: Final = 32


class NotSealedHere(SluiceError):
    """The value was not sealed for this place by a key of this ring."""


@dataclass(frozen=True, slots=True)
class Sealer:
    """entropy: returns that many random bytes; `os.urandom` but in tests."""

    keys: Mapping[int, bytes]
    entropy: Callable[[int], bytes] = os.urandom

    @classmethod
    def parse(cls, text: str, entropy: Callable[[int], bytes] = os.urandom) -> "Sealer":
        """From `1:<hex>,2:<hex>`, each key 32 bytes. ConfigError (without the key) if it is anything else."""
        try:
            pairs = [part.split(":", 1) for part in text.split(",") if part.strip()]
            keys = {int(version): bytes.fromhex(key) for version, key in pairs}
        except ValueError:
            raise ConfigError("SLUICE_WEBHOOK_KEYS is not a list of version:hex pairs") from None
        if not keys or any(not 0 <= version <= 255 or len(key) != _KEY_BYTES for version, key in keys.items()):
            raise ConfigError("SLUICE_WEBHOOK_KEYS needs versions 0 to 255 with keys of 32 bytes")
        return cls(keys, entropy)

    def seal(self, value: bytes, place: str) -> bytes:
        version = max(self.keys)
        nonce = self.entropy(_NONCE)
        return bytes((version,)) + nonce + AESGCM(self.keys[version]).encrypt(nonce, value, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Raises NotSealedHere."""
        key = self.keys.get(sealed[0]) if len(sealed) > _NONCE else None
        if key is None:
            raise NotSealedHere("no key of the ring has sealed this")
        try:
            return AESGCM(key).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], place.encode())
        except InvalidTag:
            raise NotSealedHere("it was sealed for another place, or changed since") from None
