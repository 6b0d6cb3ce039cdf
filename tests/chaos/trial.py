"""One run in an arena: what clients ask in it, what is seen of it, and what the checker says."""

import secrets
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from shared.models.job import Job
from tests.chaos.arena import KEY, Arena
from tests.chaos.checker import Verdict, judge
from tests.chaos.clients import Client, carry_all, clients, reread
from tests.chaos.effects import Effect, read_effects, starts
from tests.chaos.evidence import Evidence, snapshots, stored, until
from tests.chaos.history import History
from tests.chaos.rules.accepting import settled
from tests.chaos.work import Piece

DRAIN_SECONDS: Final = 90.0
"""What everything may take to be over once all works again. A killed process's messages come back after 10 s, twice as
late when its successor dies too."""
LATE_SECONDS: Final = 5.0
TOLD_SECONDS: Final = 30.0
REREAD_MOST: Final = 2_000
READERS: Final = 8


@dataclass(slots=True)
class Trial:
    """tag: begins the name of every piece of work, so that trials in one arena keep apart."""

    place: Arena
    tag: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}-")
    history: History = field(default_factory=History)
    asked: dict[str, Piece] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)
    """Jobs of which nothing more is to be waited for."""

    def clients(self, count: int, *, spread: bool = False) -> AbstractAsyncContextManager[list[Client]]:
        """As `clients.clients`, of this system."""
        return clients(self.history, self.place.system.base_url, KEY.token, count, spread=spread)

    def piece(self, name: str, **fields: object) -> Piece:
        """A new piece of work, which may run from now on."""
        return self.asks([Piece(self.tag + name, **fields)])[0]  # type: ignore[arg-type]

    def asks(self, pieces: Iterable[Piece]) -> list[Piece]:
        """These may run from now on."""
        wanted = list(pieces)
        self.asked |= {piece.work: piece for piece in wanted}
        return wanted

    async def load(self, pieces: Iterable[Piece], crowd: int, *, within: float = 60.0) -> None:
        """Have `crowd` clients carry all of it."""
        wanted = self.asks(pieces)
        async with self.clients(crowd) as group:
            await carry_all(group, wanted, within=within)

    def effects(self) -> list[Effect]:
        """Of this trial, so far."""
        return [effect for effect in read_effects(self.place.effects) if effect.work.startswith(self.tag)]

    async def verdict(self, *, drain_seconds: float = DRAIN_SECONDS) -> Verdict:
        """Heal, let everything come to its end, look at it all, and judge."""
        return self.judge(await self.evidence(drain_seconds=drain_seconds))

    def judge(self, evidence: Evidence) -> Verdict:
        """What the checker says; the history is left beside the logs, for whoever looks into a failure."""
        self.history.dump(self.place.effects.with_name(f"history-{self.tag}.jsonl"))
        return judge(evidence)

    async def evidence(self, *, drain_seconds: float = DRAIN_SECONDS) -> Evidence:
        """What there is to be seen, once all works again and everything has come to its end, or had the time to."""
        await self.place.heal()
        await until(self._drained, drain_seconds)
        await self._read_again()
        await until(self._drained, LATE_SECONDS)  # a job that nobody was told of may have begun since
        effects, ids, found = self.effects(), self._jobs(), await self.documents()
        if self._over.issuperset(ids):
            await until(lambda: self._told(found), TOLD_SECONDS)
        return Evidence(
            history=self.history,
            effects=effects,
            damage=self.place.damage,
            asked=self.asked,
            documents=found,
            cached=await snapshots(self.place.backends.redis.address, ids),
            events={id: list(self.place.tap.heard.get(id, ())) for id in ids},
        )

    def _jobs(self) -> list[str]:
        """All that there are, as far as anybody outside can know."""
        return sorted(self.history.accepted().keys() | starts(self.effects()).keys())

    async def documents(self) -> dict[str, Job]:
        """The jobs of this trial, as the store has them now."""
        return await self._stored(self._jobs())

    async def _stored(self, ids: Iterable[str]) -> dict[str, Job]:
        return await stored(self.place.project, self.place.backends.firestore.address, ids)

    async def _drained(self) -> bool:
        found = await self._stored([id for id in self._jobs() if id not in self._over])
        self._over.update(id for id, document in found.items() if settled(document))
        return self._over.issuperset(self._jobs())

    async def _told(self, found: Mapping[str, Job]) -> bool:
        heard = self.place.tap.heard
        return all(
            any(told.finished_at is not None for told in heard.get(id, ()))
            for id, document in found.items()
            if document.status.terminal
        )

    async def _read_again(self) -> None:
        """Several times over every gateway: what is terminal must always be the same."""
        async with self.clients(READERS, spread=True) as group:
            await reread(group, self._jobs()[:REREAD_MOST])
