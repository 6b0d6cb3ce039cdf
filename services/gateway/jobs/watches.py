"""Who waits for which job, on one gateway: a `Watch` a job, with everyone who is held for it. No I/O.

There can be 16,000 of them a process, so they are slots, not tasks. `waiting` makes them and tells them what is new.
"""

import asyncio
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from services.gateway.http.problems import Problem
from shared.ids import IssuedId
from shared.models.public import Snapshot

Outcome = Snapshot | Problem | None
"""How a hold ended: with a state; with a reason why there is none; or None, when the store is to be asked."""


class Holder(Protocol):
    """Someone who is held for a job."""

    def changed(self, *, draining: bool = False) -> None:
        """The watch knows something newer, or everyone is to leave."""

    def failed(self, problem: Problem) -> None:
        """The job's state could not be found out."""


class Watch:
    """Everyone on this gateway who waits for one job."""

    __slots__ = ("holders", "issued", "latest", "recheck_at", "registered_at")

    def __init__(self, issued: IssuedId, recheck_at: float) -> None:
        self.issued = issued
        self.recheck_at = recheck_at
        self.registered_at = -math.inf
        self.latest: Snapshot | None = None
        self.holders: dict[Holder, None] = {}
        """In the order in which they came."""

    def join(self, holder: Holder) -> None:
        self.holders[holder] = None

    def part(self, holder: Holder) -> None:
        del self.holders[holder]

    def untold(self, kept: Snapshot | None) -> bool:
        """Whether what Redis keeps shows that this gateway was not told, or will not be: it is newer, or nothing."""
        return kept is None or self.latest is None or kept.order > self.latest.order

    def hear(self, snapshot: Snapshot) -> None:
        if self.untold(snapshot):
            self.latest = snapshot
            self.wake()

    def wake(self, *, draining: bool = False) -> None:
        for holder in tuple(self.holders):
            holder.changed(draining=draining)

    def fail(self, problem: Problem) -> None:
        """Whoever knows no state of the job is told why; the others wait on."""
        if self.latest is None:
            for holder in tuple(self.holders):
                holder.failed(problem)


class Hold:
    """A request that is held until its job's state is good enough, or its time is over: then it is settled, once.

    known: the order of the state that the client has; any higher one is good enough. None: only a terminal one is.
    """

    __slots__ = ("_ended", "due", "known", "watch")

    def __init__(self, known: int | None) -> None:
        self.known = known
        self.watch: Watch | None = None
        self.due = 0
        """The tick at which its time is over."""
        self._ended = False

    @abstractmethod
    def settle(self, outcome: Outcome) -> None:
        """Answer; called once."""

    def changed(self, *, draining: bool = False) -> None:
        latest = self.watch.latest if self.watch else None
        if draining or (latest is not None and self._good_enough(latest)):
            self.expire()

    def failed(self, problem: Problem) -> None:
        self._end(problem)

    def expire(self) -> None:
        """Settle it with the state as it is."""
        latest = self.watch.latest if self.watch else None
        self._end(None if latest is None or latest.order < (self.known or 0) else latest)

    def _good_enough(self, latest: Snapshot) -> bool:
        return latest.terminal or (self.known is not None and latest.order > self.known)

    def _end(self, outcome: Outcome) -> None:
        if not self._ended:
            self._ended = True
            self.settle(outcome)


class Held:
    """A request that is held for as long as it likes, and told each time that its job has changed."""

    def __init__(self, watch: Watch, draining: Callable[[], bool]) -> None:
        self._watch = watch
        self._draining = draining
        self._bell: asyncio.Future[None] | None = None

    @property
    def latest(self) -> Snapshot:
        """The newest state that is known."""
        assert self._watch.latest is not None
        return self._watch.latest

    @property
    def draining(self) -> bool:
        """The gateway leaves: end soon."""
        return self._draining()

    @contextmanager
    def ringing(self, bell: "asyncio.Future[None]") -> Iterator[None]:
        """`bell` is done as soon as `latest` or `draining` changes in the block."""
        self._bell = bell
        try:
            yield
        finally:
            self._bell = None

    def changed(self, *, draining: bool = False) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def failed(self, problem: Problem) -> None:
        """It looks for itself."""
