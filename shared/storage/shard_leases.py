"""The Protocol by which processes share out shards: who is there, and who has which.

Part of the storage contract, in a file of its own. Written and read by `shared/tenure` alone, for schedulers and for
the webhooks service: each is a group of its own, and sees nothing of the other.

| document | what | harmless twice because |
|---|---|---|
| `terms/{term}` | a lease, by the store's time, of a process of the group that is there | written by precondition |
| `allotments/{group}` | which term has which shard | changed by precondition |

A **term** is one unbroken time that a process is there, named by a random word. A process that could not renew its
lease in time begins a new one, so that nothing which it once had is taken for its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from shared.storage.contract import Stored, Version, WriteResult

TIMERS: Final = "timers"
DELIVERIES: Final = "deliveries"


@dataclass(frozen=True, slots=True)
class Term:
    """A process that is there, as long as nobody finds this written longer ago than `lease_seconds`."""

    id: str
    instance: str
    """Whose it is, for people."""
    lease_seconds: int
    expire_at: int
    """When the document may vanish, milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """The shards that somebody has, each with its term."""

    holders: Mapping[int, str]


class ShardLeases(Protocol):
    """Of one group."""

    async def renew(self, term: Term, held: Version | None) -> WriteResult:
        """Write the lease if nobody wrote it since `held`; None: if there is none. Raises StoreUnavailable or
        CommitUnknown.
        """
        ...

    async def end(self, id: str, held: Version) -> WriteResult:
        """Delete the lease if nobody wrote it since `held`, which it then returns. Raises as `renew`."""
        ...

    async def terms(self) -> Sequence[Stored[Term]]:
        """Every lease that is there, lapsed ones included. Raises StoreUnavailable."""
        ...

    async def allotment(self) -> Stored[Allotment] | None:
        """Raises StoreUnavailable."""
        ...

    async def allot(self, allotment: Allotment, held: Version | None) -> WriteResult:
        """Write it if nobody did since `held`; None: if there is none. Raises as `renew`."""
        ...
