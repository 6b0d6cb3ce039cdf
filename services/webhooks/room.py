"""Which deliveries are in memory, waiting or under way, and whose may join them. Pure; used by the deliverer.

What may be dead gets half of the room: the other half is there for who is alive. Of that half a tenant may take as much
as it leaves free. Where many tenants have left none, one that has nothing here takes a place of the one that has most:
however many dead endpoints there are, somebody's new one finds room at once, unless every tenant has one thing here.
(Dynamic thresholds: A. K. Choudhury, E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches",
IEEE/ACM Transactions on Networking 6 (2), 1998.)
"""

from collections import Counter
from operator import itemgetter


class Shares:
    """Places that tenants share, none of whom may have more than it leaves free."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken: Counter[str] = Counter()
        self.total = 0

    def open_to(self, tenant: str) -> bool:
        return self._taken[tenant] < self._places - self.total

    @property
    def greediest(self) -> str:
        """The tenant that has most; empty where none has more than one."""
        tenant, taken = max(self._taken.items(), key=itemgetter(1), default=("", 0))
        return tenant if taken > 1 else ""

    def has(self, tenant: str) -> bool:
        return tenant in self._taken

    def take(self, tenant: str) -> None:
        self._taken[tenant] += 1
        self.total += 1

    def give_back(self, tenant: str) -> None:
        self._taken[tenant] -= 1
        self.total -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]


class Room:
    """size: deliveries in memory."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._slow = Shares(size // 2)
        self._known: dict[str, str | None] = {}
        """Each delivery, with its tenant where it takes a place of those that may be dead."""

    def __contains__(self, id: str) -> bool:
        return id in self._known

    def __len__(self) -> int:
        return len(self._known)

    def open_to(self, tenant: str, *, slow: bool) -> bool:
        """Whether a delivery of the tenant's may come in. slow: for an endpoint that may be dead."""
        return self._slow.open_to(tenant) if slow else len(self._known) < self._size

    def yielding(self, tenant: str) -> str:
        """The tenant that makes room for what may be dead of this one; empty: none does."""
        return "" if self._slow.has(tenant) else self._slow.greediest

    def enter(self, id: str, tenant: str, *, slow: bool) -> None:
        self.leave(id)
        self._known[id] = tenant if slow else None
        if slow:
            self._slow.take(tenant)

    def leave(self, id: str) -> None:
        tenant = self._known.pop(id, None)
        if tenant is not None:
            self._slow.give_back(tenant)
