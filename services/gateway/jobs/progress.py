"""The `progress` member of a running job: the newest that its worker left in Redis, put into its JSON at each read.

It is news, not state: it wakes no waiter, counts as no change (a running job's ETag is weak for its sake), and is null
while Redis has none. A finished job has none either; its bytes are never touched. Who wants each step follows `events`.
"""

from dataclasses import replace

from shared.cache.contract import Streams
from shared.errors import CacheUnavailable, Overloaded
from shared.models.job import is_running
from shared.models.public import Snapshot, with_progress


class Progress:
    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def shown(self, state: Snapshot) -> Snapshot:
        """The state with the newest progress of the attempt that runs, if it is known."""
        if not is_running(state.order):
            return state
        try:
            newest = await self._streams.progress(state.id)
        except (CacheUnavailable, Overloaded):
            return state
        return state if newest is None else replace(state, body=with_progress(state, newest.attempt, newest.data))
