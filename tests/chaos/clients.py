"""Clients that log every call (`history`) and go on as the contract tells them to, whatever they meet.

A keyed request is sent again until it is settled; any other is given up when nobody knows what became of it, for a
second one would be a second job.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import aiohttp
import orjson

from tests.chaos.history import Act, Call, Fail, History, Info, Ok, Outcome
from tests.chaos.work import Piece

CALL_SECONDS: Final = 15.0
"""For a call that does not wait; beyond, a client gives up on it and does not know."""
PAUSE_SECONDS: Final = 0.25
"""Before asking again what nobody answered."""
RETRY_AFTER_SECONDS: Final = 1.0
"""The same after a refusal, none of which asks for less."""
UNFINISHED: Final = frozenset({"scheduled", "queued", "running"})


@dataclass(slots=True)
class Client:
    """One client: its calls follow each other.

    session: decides over how many connections, and so over how many gateways, they go.
    """

    number: int
    history: History
    session: aiohttp.ClientSession
    base_url: str
    token: str
    tags: dict[str, int] = field(default_factory=dict)
    """The newest order that it has seen of each job."""

    async def submit(self, piece: Piece, *, wait: int = 0) -> Outcome:
        """One request for `piece`."""
        call = self.history.invoke(self.number, Act.SUBMIT, piece.work, keyed=piece.keyed)
        headers = {"Idempotency-Key": piece.work} if piece.keyed else {}
        return await self._call(call, "POST", "/v1/jobs", headers, wait, data=orjson.dumps(piece.body))

    async def read(self, job: str, *, wait: int = 0, work: str = "", conditional: bool = True) -> Outcome:
        """One look at a job. conditional: say which state is known already."""
        known = self.tags.get(job, 0) if conditional else 0
        call = self.history.invoke(self.number, Act.READ, work, job=job, known=known)
        headers = {"If-None-Match": f'"{known:x}"'} if known else {}
        return await self._call(call, "GET", f"/v1/jobs/{job}", headers, wait)

    async def cancel(self, job: str, *, work: str = "", within: float = 15.0) -> Outcome:
        """Ask for its end until somebody answers for certain, which may be that it came too late."""
        deadline = monotonic() + within
        while True:
            call = self.history.invoke(self.number, Act.CANCEL, work, job=job)
            outcome = await self._call(call, "POST", f"/v1/jobs/{job}/cancel", {}, 0, data=b"")
            certain = isinstance(outcome, Ok) or (isinstance(outcome, Fail) and 400 <= outcome.status < 500)
            if certain or monotonic() > deadline:
                return outcome
            await _pause(outcome)

    async def accepted(self, piece: Piece, within: float) -> Ok | None:
        """Submit until it is accepted. None when it is given up: at once if the fate of an unkeyed one is unknown."""
        deadline = monotonic() + within
        while True:
            outcome = await self.submit(piece)
            if isinstance(outcome, Ok):
                return outcome
            if (isinstance(outcome, Info) and not piece.keyed) or monotonic() > deadline:
                return None
            await _pause(outcome)

    async def over(self, job: str, *, work: str = "", wait: int = 10, within: float = 60.0) -> Ok | None:
        """Wait for the end of a job. None when it did not come in time."""
        deadline = monotonic() + within
        while monotonic() < deadline:
            outcome = await self.read(job, wait=wait, work=work)
            if isinstance(outcome, Ok) and outcome.terminal:
                return outcome
            if not isinstance(outcome, Ok):
                await _pause(outcome)
        return None

    async def carry(self, piece: Piece, *, within: float = 60.0) -> Ok | None:
        """Submit, cancel if that is wanted, and wait for the end."""
        began = monotonic()
        met = await self.accepted(piece, within)
        if met is None or met.terminal:
            return met
        if piece.canceled:
            await self.cancel(met.job, work=piece.work)
        return await self.over(met.job, work=piece.work, within=within - (monotonic() - began))

    async def _call(
        self, call: Call, method: str, path: str, headers: dict[str, str], wait: int, data: bytes | None = None
    ) -> Outcome:
        headers |= {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if wait:
            headers["Prefer"] = f"wait={wait}"
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS + wait)
        try:
            async with self.session.request(
                method, self.base_url + path, headers=headers, data=data, timeout=timeout
            ) as response:
                outcome = classify(call, response.status, response.headers, await response.read())
        except aiohttp.ClientConnectorError as error:
            outcome = Fail(0, type(error).__name__)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            outcome = Info(0, f"{type(error).__name__}: {error}")
        if isinstance(outcome, Ok):
            self.tags[outcome.job] = max(outcome.order, self.tags.get(outcome.job, 0))
        return call.end(outcome)


async def _pause(outcome: Outcome) -> None:
    await asyncio.sleep(RETRY_AFTER_SECONDS if outcome.status else PAUSE_SECONDS)


def classify(call: Call, status: int, headers: Any, body: bytes) -> Outcome:
    """What an answer says of what was done."""
    if status == 304:
        return Ok(status, call.job, _order(headers), "", b"")
    if status in {200, 202}:
        job = orjson.loads(body)
        kept = b"" if job["status"] in UNFINISHED else body
        replayed = headers.get("Idempotency-Replayed") == "true"
        return Ok(status, job["id"], _order(headers), job["status"], kept, replayed)
    why = _problem(body)
    certain = status < 500 or call.act is Act.READ or why.get("accepted") is False
    return (Fail if certain else Info)(status, str(why.get("detail", "")))


def _order(headers: Any) -> int:
    return int(headers["ETag"].removeprefix("W/").strip('"'), 16)  # weak while progress may change beside it


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return problem if isinstance(problem, dict) else {}


@asynccontextmanager
async def clients(
    history: History, base_url: str, token: str, count: int, *, spread: bool = False
) -> AsyncIterator[list[Client]]:
    """So many clients. spread: each call on a connection of its own, so that every gateway gets its share."""
    sessions = [
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=spread)) for _ in range(count)
    ]
    first = 1 + max((call.client for call in history.calls), default=0)
    try:
        yield [Client(first + number, history, session, base_url, token) for number, session in enumerate(sessions)]
    finally:
        for session in sessions:
            await session.close()


async def carry_all(crowd: list[Client], pieces: Iterable[Piece], *, within: float = 60.0) -> None:
    """Share the pieces out: each client takes the next one when it is through with one."""
    rest = iter(pieces)

    async def work(client: Client) -> None:
        for piece in rest:
            await client.carry(piece, within=within)

    await asyncio.gather(*(work(client) for client in crowd))


async def reread(crowd: list[Client], jobs: Iterable[str], times: int = 2) -> None:
    """Look at every job again, `times` over, without saying what is known."""
    rest = iter([job for _ in range(times) for job in jobs])

    async def look(client: Client) -> None:
        for job in rest:
            await client.read(job, conditional=False)

    await asyncio.gather(*(look(client) for client in crowd))
