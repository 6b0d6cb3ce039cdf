"""Accepting a request under an id once, however often it is sent: the whole Idempotency-Key contract.

Called by `posting` for jobs; whatever else is created under an id can be a `Work`. The first request with a key writes
its id into the store, if there is none, before anything is published: of all that arrive at once, over all gateways,
one wins. The others get what was accepted under that id, as it is now. Where nothing shows that it was ever accepted,
because the first is on its way or died on it, they are told so (409) for as long as it may be on its way; after that
whoever comes accepts it again under the same id, which is harmless where it had been.

Redis spares most replays a look into the store, and is never needed.
"""

import asyncio
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from services.gateway.aside import Aside
from services.gateway.http.canonical import fingerprint, scope_hash
from services.gateway.http.problems import IDEMPOTENCY_IN_PROGRESS, IDEMPOTENCY_KEY_REUSED, Problem, unavailable
from services.gateway.settings import Settings
from shared.cache.contract import Replay, Replays
from shared.cache.lifetimes import REPLAY_TTL_SECONDS
from shared.clock import MILLISECONDS, Clock
from shared.errors import CacheUnavailable, CommitUnknown, Overloaded, StoreUnavailable, Unavailable
from shared.storage.contract import Idempotency as Requests
from shared.storage.contract import KeyedRequest, Stored, Version
from shared.values import value

KEPT_SECONDS = 86_400
"""A key is remembered for so long at least, and as long as what it stands for may not be over."""
RETRY_AFTER_SECONDS = 1
MAX_ROUNDS = 4

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Proposal(Protocol[T_co]):
    """How a request would be met, if its key is new."""

    @property
    def id(self) -> str: ...

    @property
    def expires_at(self) -> int:
        """By when it is over (milliseconds since the epoch)."""
        ...

    @property
    def takes_seconds(self) -> int:
        """How long accepting it may take; 0 for what was accepted before."""
        ...

    async def accept(self) -> T_co:
        """Make it durable. Raises Problem."""
        ...

    def withdraw(self) -> None:
        """It will not be accepted: the key stands for another id."""
        ...


class Work(Protocol[T_co]):
    """What a request asks for. Everything raises Problem."""

    async def propose(self) -> Proposal[T_co]:
        """Check it, and find an id for it."""
        ...

    async def recall(self, id: str) -> T_co:
        """What became of `id`, which was accepted."""
        ...

    async def look_for(self, id: str) -> T_co | None:
        """What became of `id`, or None where nothing shows that it was accepted."""
        ...

    async def accept_under(self, id: str) -> T_co:
        """Accept it under `id`, which it was given before; harmless where it was accepted."""
        ...


@value(frozen=True, slots=True)
class Claim:
    """A key, as used by one request."""

    hash: str
    """Of tenant, route and key."""
    fingerprint: str
    """Of what is asked."""

    @classmethod
    def of(cls, *, tenant: str, route: str, key: str, body: object) -> "Claim":
        """For a body of JSON."""
        return cls(scope_hash(tenant, route, key), fingerprint(body))


@value(frozen=True, slots=True)
class First(Generic[T_co]):
    value: T_co


@value(frozen=True, slots=True)
class Replayed(Generic[T_co]):
    value: T_co


class Idempotency:
    def __init__(self, settings: Settings, *, requests: Requests, replays: Replays, aside: Aside, clock: Clock) -> None:
        self._store_seconds = settings.store_seconds
        self._requests = requests
        self._replays = replays
        self._aside = aside
        self._clock = clock

    async def once(self, claim: Claim, work: Work[T]) -> First[T] | Replayed[T]:
        """What `work` came to, now or when it was asked for first.

        Raises Problem: what the work raises; 409 while the first is on its way; 422 for another body; 503, with
        `accepted: false`, when the key cannot be kept.
        """
        replay = await self._recall(claim)
        if replay is not None:
            return Replayed(await work.recall(replay.id))
        try:
            proposal = await work.propose()
        except Problem as refusal:
            return await self._despite(refusal, claim, work)
        request = self._request(claim, proposal)
        try:
            taken = await self._take(claim, request)
        except Problem:
            proposal.withdraw()
            raise
        if isinstance(taken, Version):
            return First(await self._accept(claim, request, taken, proposal))
        proposal.withdraw()
        return Replayed(await self._replay(claim, work, taken))

    async def used(self, claim: Claim) -> str | None:
        """The id that the key stands for, accepted or on its way; None while it is unused. Raises Problem 503."""
        replay = await self._recall(claim)
        if replay is not None:
            return replay.id
        try:
            async with asyncio.timeout(self._store_seconds):
                found = await self._requests.find(claim.hash)
        except (Unavailable, Overloaded, TimeoutError):
            raise unavailable("It cannot be told right now whether the key was used.") from None
        return found.value.id if found is not None and self._lasts(found) else None

    def _request(self, claim: Claim, proposal: Proposal[T]) -> KeyedRequest:
        expire_at = max(self._clock.now() + KEPT_SECONDS * MILLISECONDS, proposal.expires_at)
        return KeyedRequest(proposal.id, claim.fingerprint, proposal.takes_seconds, expire_at)

    # What was accepted before

    async def _recall(self, claim: Claim) -> Replay | None:
        try:
            replay = await self._replays.recall(claim.hash)
        except (CacheUnavailable, Overloaded):
            return None
        if replay is not None:
            _check(claim, replay.fingerprint)
        return replay

    async def _despite(self, refusal: Problem, claim: Claim, work: Work[T]) -> Replayed[T]:
        """What was accepted stays so, even if it would be refused now. Raises the refusal of what was not."""
        try:
            async with asyncio.timeout(self._store_seconds):
                found = await self._requests.find(claim.hash)
        except (Unavailable, Overloaded, TimeoutError):
            found = None
        if found is None or not self._lasts(found):
            raise refusal
        return Replayed(await self._replay(claim, work, found))

    async def _replay(self, claim: Claim, work: Work[T], found: Stored[KeyedRequest]) -> T:
        request = found.value
        _check(claim, request.fingerprint)
        value = await work.look_for(request.id)
        if value is None:
            if found.idle_seconds < request.accept_seconds:
                raise _in_progress()
            value = await work.accept_under(request.id)
        self._remember(claim, request)
        return value

    # The first

    async def _take(self, claim: Claim, request: KeyedRequest) -> Version | Stored[KeyedRequest]:
        """The key is this request's (a Version), or another's."""
        try:
            async with asyncio.timeout(self._store_seconds):
                return await self._settled(claim, request)
        except (Unavailable, Overloaded, TimeoutError):
            raise unavailable("The Idempotency-Key cannot be kept right now.", accepted=False) from None

    async def _settled(self, claim: Claim, request: KeyedRequest) -> Version | Stored[KeyedRequest]:
        """As `_settle`; a client that is refused or leaves meanwhile holds up nobody, even if its key is written."""
        settling = asyncio.create_task(self._settle(claim.hash, request), name="take a key")
        try:
            return await asyncio.shield(settling)
        except asyncio.CancelledError:
            self._aside.do(self._give_up_late(claim, request, settling), "give up a key written late")
            raise

    async def _settle(self, hash: str, request: KeyedRequest) -> Version | Stored[KeyedRequest]:
        unknown = False
        for _ in range(MAX_ROUNDS):
            try:
                result = await self._requests.create(hash, request)
                if isinstance(result, Version):
                    return result
                found = await self._requests.find(hash)
                if found is None:
                    continue
                if self._lasts(found):
                    return found.version if unknown and found.value == request else found
                result = await self._requests.replace(hash, request, found.version)
                if isinstance(result, Version):
                    return result
            except CommitUnknown:
                unknown = True
        raise StoreUnavailable("the key could not be settled")

    async def _accept(self, claim: Claim, request: KeyedRequest, held: Version, proposal: Proposal[T]) -> T:
        try:
            value = await proposal.accept()
        except (Problem, asyncio.CancelledError):
            self._aside.do(self._give_up(claim, request, held), "give up a key")
            raise
        self._remember(claim, request)
        return value

    async def _give_up(self, claim: Claim, request: KeyedRequest, held: Version) -> None:
        """The request is not on its way any more: the next with its key need not wait for that."""
        await self._requests.replace(claim.hash, replace(request, accept_seconds=0), held)

    async def _give_up_late(
        self, claim: Claim, request: KeyedRequest, settling: "asyncio.Task[Version | Stored[KeyedRequest]]"
    ) -> None:
        taken = await settling
        if isinstance(taken, Version):
            await self._give_up(claim, request, taken)

    def _remember(self, claim: Claim, request: KeyedRequest) -> None:
        left = (request.expire_at - self._clock.now()) // MILLISECONDS
        if left > 0:
            replay = Replay(request.id, request.fingerprint)
            remembering = self._replays.remember(claim.hash, replay, ttl_seconds=min(left, REPLAY_TTL_SECONDS))
            self._aside.do(remembering, "remember a keyed request")

    def _lasts(self, found: Stored[KeyedRequest]) -> bool:
        return found.value.expire_at > self._clock.now()


def _check(claim: Claim, known: str) -> None:
    if claim.fingerprint != known:
        raise Problem(IDEMPOTENCY_KEY_REUSED, "The key stands for a request with another body.")


def _in_progress() -> Problem:
    return Problem(
        IDEMPOTENCY_IN_PROGRESS,
        "The first request with this key is on its way.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
