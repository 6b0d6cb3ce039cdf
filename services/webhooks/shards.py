"""Which endpoints are ours: those whose shard this instance has, of those that share them out (`shared/tenure`).

One instance at a time sends to an endpoint, so its limits and its breaker are exact. A shard that is to go to another
is left alone at once and handed over when nothing of it is under way.
"""

from typing import Protocol

from shared.storage.webhook_contract import delivery_shard


class Held(Protocol):
    @property
    def shards(self) -> frozenset[int]:
        """Those that are ours at this moment."""
        ...


class Shards:
    def __init__(self, tenure: Held) -> None:
        self._tenure = tenure

    @property
    def held(self) -> frozenset[int]:
        """Those from which something may be sent now."""
        return self._tenure.shards

    def holds(self, endpoint: str) -> bool:
        return delivery_shard(endpoint) in self._tenure.shards
