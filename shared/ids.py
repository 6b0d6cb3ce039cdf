"""Ids that prove themselves.

An id is a kind (`job`, `bat`, `whk`, `dlv`) and 40 characters of lower-case Crockford base32 of 25 bytes:

    MAC (8) ‖ key version (1) ‖ creation time in ms (6) ‖ lifetime (1, units of 4 h, rounded up) ‖ random (9)

The MAC is HMAC-SHA256, truncated, over kind, tenant and the other 17 bytes. So the gateway refuses an id that it never
issued, or issued to another tenant, without asking anyone; tells "not claimed yet" from "unknown" while every cache is
empty; and knows from the id alone when the job must be over. The MAC stands first so that ids spread over Firestore's
key space.

Issued by the gateway (jobs, batches, endpoints); verified wherever an id comes from outside.
"""

import hashlib
import hmac
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Literal

from shared.errors import ConfigError
from shared.values import value

Kind = Literal["job", "bat", "whk", "dlv"]

LIFETIME_UNIT_MS = 4 * 3_600_000
MAX_LIFETIME_MS = 255 * LIFETIME_UNIT_MS
"""Just over 42 days: 30 days of delay, 6 days to expire, and room."""

_MAC_BYTES, _RANDOM_BYTES, _BODY_BYTES = 8, 9, 17
_REDUCTION = "reduce"
"""No index of an item is spelled like this."""
_SHAPE = re.compile(r"[0-9a-hjkmnp-tv-z]{40}", re.ASCII)
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_TO_DIGITS = str.maketrans("0123456789abcdefghjkmnpqrstvwxyz", "0123456789abcdefghijklmnopqrstuv")


@value(frozen=True, slots=True)
class IdKeys:
    """The MAC keys by version, 0…255. The highest version signs; every version verifies, for a key outlives its ids."""

    by_version: Mapping[int, bytes]

    @property
    def current(self) -> int:
        return max(self.by_version)

    @classmethod
    def parse(cls, text: str) -> "IdKeys":
        """From `1:<hex>,2:<hex>`, each key at least 32 bytes. ConfigError (without the key) if it is anything else."""
        try:
            pairs = [part.split(":", 1) for part in text.split(",") if part.strip()]
            keys = {int(version): bytes.fromhex(key) for version, key in pairs}
        except ValueError:
            raise ConfigError("SLUICE_ID_KEYS is not a list of version:hex pairs") from None
        if not keys or any(not 0 <= version <= 255 or len(key) < 32 for version, key in keys.items()):
            raise ConfigError("SLUICE_ID_KEYS needs versions 0 to 255 with keys of at least 32 bytes")
        return cls(keys)


@value(frozen=True, slots=True)
class IssuedId:
    """What a verified id says of itself."""

    text: str
    created_at: int
    expires_at: int
    """The latest moment by which the job must be terminal."""


class Ids:
    """Issues and verifies ids.

    entropy: returns that many random bytes; `os.urandom` but in tests.
    """

    def __init__(self, keys: IdKeys, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._keys = keys
        self._entropy = entropy

    def issue(self, kind: Kind, tenant: str, *, created_at: int, lifetime_ms: int) -> IssuedId:
        """A new id whose job must be terminal by `created_at + lifetime_ms` (rounded up to whole units of 4 h)."""
        if not 0 < lifetime_ms <= MAX_LIFETIME_MS:
            raise ValueError(f"a lifetime of {lifetime_ms} ms does not fit an id")
        units = math.ceil(lifetime_ms / LIFETIME_UNIT_MS)
        version = self._keys.current
        body = bytes((version,)) + created_at.to_bytes(6) + bytes((units,)) + self._entropy(_RANDOM_BYTES)
        return self._sealed(kind, tenant, body)

    def issue_from(
        self, kind: Kind, tenant: str, origin: str, name: str, *, created_at: int, lifetime_ms: int
    ) -> IssuedId:
        """As `issue`, but `origin`, an id of this tenant's, determines the random part for `name`.

        At one moment it is always the same id; who needs it to be the same later keeps it.
        """
        return Ids(self._keys, lambda count: _derived(origin, name)[:count]).issue(
            kind, tenant, created_at=created_at, lifetime_ms=lifetime_ms
        )

    def derive(self, kind: Kind, tenant: str, origin: str, name: str) -> IssuedId:
        """The id that `origin` determines for `name`: always the same, with the time, lifetime and key of `origin`.

        `origin` is an id that this tenant was issued (of any kind); `name` tells its derivations apart.
        """
        body = _decode(origin.partition("_")[2])
        if body is None:
            raise ValueError("not an id")
        return self._sealed(kind, tenant, body[_MAC_BYTES:-_RANDOM_BYTES] + _derived(origin, name)[:_RANDOM_BYTES])

    def item(self, tenant: str, batch: str, index: int) -> IssuedId:
        """The id of an item of a batch: computed wherever it is needed, never stored."""
        return self.derive("job", tenant, batch, str(index))

    def reduction(self, tenant: str, batch: str) -> IssuedId:
        """The id of the job that reduces a batch: publishing it twice is publishing it once."""
        return self.derive("job", tenant, batch, _REDUCTION)

    def items(self, tenant: str, batch: str) -> Callable[[int], str]:
        """As `item` for one batch, an index at a time, with what is the same for all of them done once.

        batch: an id that this tenant was issued.
        """
        origin = _decode(batch.partition("_")[2])
        if origin is None:
            raise ValueError("not an id")
        head = origin[_MAC_BYTES:-_RANDOM_BYTES]
        derived = hashlib.sha256(f"{batch}\0".encode())
        keyed = hmac.new(self._keys.by_version[head[0]], f"job\0{tenant}\0".encode() + head, "sha256")

        def id_of(index: int) -> str:
            each = derived.copy()
            each.update(b"%d" % index)
            random = each.digest()[:_RANDOM_BYTES]
            mac = keyed.copy()
            mac.update(random)
            return "job_" + _encode(mac.digest()[:_MAC_BYTES] + head + random)

        return id_of

    def verify(self, kind: Kind, tenant: str, text: str) -> IssuedId | None:
        """What the id says, or None if it was never issued to this tenant as this kind."""
        if not text.startswith(f"{kind}_"):
            return None
        raw = _decode(text[len(kind) + 1 :])
        if raw is None or raw[_MAC_BYTES] not in self._keys.by_version:
            return None
        if not hmac.compare_digest(raw[:_MAC_BYTES], self._mac(kind, tenant, raw[_MAC_BYTES:])):
            return None
        return _read(text, raw)

    def _sealed(self, kind: Kind, tenant: str, body: bytes) -> IssuedId:
        raw = self._mac(kind, tenant, body) + body
        return _read(f"{kind}_{_encode(raw)}", raw)

    def _mac(self, kind: Kind, tenant: str, body: bytes) -> bytes:
        key = self._keys.by_version[body[0]]
        return hmac.digest(key, f"{kind}\0{tenant}\0".encode() + body, "sha256")[:_MAC_BYTES]


def _derived(origin: str, name: str) -> bytes:
    return hashlib.sha256(f"{origin}\0{name}".encode()).digest()


def _encode(raw: bytes) -> str:
    """Two digits of 10 bits at a time: several times faster than b32encode, on the way of every job."""
    pairs = _PAIRS
    digits: list[str] = []
    for start in range(0, len(raw), 5):
        bits = int.from_bytes(raw[start : start + 5])
        digits += (pairs[bits >> 30], pairs[bits >> 20 & 1023], pairs[bits >> 10 & 1023], pairs[bits & 1023])
    return "".join(digits)


def _decode(text: str) -> bytes | None:
    """The 25 bytes, or None. 40 characters are exactly 200 bits, so each value has one spelling only."""
    if not _SHAPE.fullmatch(text):
        return None
    return int(text.translate(_TO_DIGITS), 32).to_bytes(25)  # several times faster than b32decode, on the hottest path


def _read(text: str, raw: bytes) -> IssuedId:
    created_at = int.from_bytes(raw[9:15])
    return IssuedId(text, created_at, created_at + raw[15] * LIFETIME_UNIT_MS)
