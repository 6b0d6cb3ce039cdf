"""Jobs end to end, as a client does them: POST, then one GET with `Prefer: wait`, until the job is seen to be terminal;
or a POST that waits itself.

A fixed number of them is under way at any moment. Each carries its own number and must come back with it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any, Final

import orjson

from tests.load.generator.checks import AGAIN_SECONDS, REFUSALS, shown
from tests.load.generator.http1 import Address, ConnectionLost, Exchanges, ProtocolFault, connect, get, post
from tests.load.generator.plans import Tally

if TYPE_CHECKING:
    from tests.load.generator.plans import Jobs

WAIT_SECONDS: Final = 30
_WAITS: Final = {"Prefer": f"wait={WAIT_SECONDS}"}
_ASKED_AGAIN_AT_MOST: Final = 3
_REFUSED_AT_MOST: Final = 20
_GRACE_SECONDS: Final = 45.0  # a job accepted last may wait behind all the others


class WrongAnswerError(Exception):
    """What a job's client got is not what it must get."""


class Flow:
    """One run of a `Jobs` plan."""

    def __init__(self, plan: Jobs) -> None:
        self._plan = plan
        self._numbers = itertools.count()
        self._counts_from = self._ends_at = 0.0
        self.tally = Tally()

    async def run(self) -> Tally:
        """Raises OSError when a connection cannot be made."""
        plan, address = self._plan, Address(self._plan.host, self._plan.port)
        clients = [await connect(Exchanges, address) for _ in range(plan.in_flight)]
        self._counts_from = time.perf_counter() + plan.warm_seconds
        self._ends_at = self._counts_from + plan.seconds
        try:
            async with asyncio.timeout(plan.warm_seconds + plan.seconds + _GRACE_SECONDS):
                tokens = itertools.cycle(plan.tokens)
                await asyncio.gather(*(self._keep_going(client, next(tokens)) for client in clients))
        except TimeoutError:
            self.tally.fault(f"not every job was terminal {_GRACE_SECONDS:.0f} s after the last was submitted")
        self.tally.elapsed = plan.seconds
        for client in clients:
            client.close()
        return self.tally

    async def _keep_going(self, client: Exchanges, token: str) -> None:
        while (began := time.perf_counter()) < self._ends_at:
            try:
                await self._one(client, token, next(self._numbers))
            except WrongAnswerError as fault:
                self.tally.fault(str(fault))
            except (ConnectionLost, ProtocolFault) as fault:
                self.tally.fault(f"a connection was lost: {fault!r}")
                return
            else:
                self._count(began, time.perf_counter())

    def _count(self, began: float, now: float) -> None:
        self.tally.ended += 1
        if self._counts_from <= now < self._ends_at:
            self.tally.answered += 1
            self.tally.latencies.record(round((now - began) * 1e6))

    async def _one(self, client: Exchanges, token: str, number: int) -> None:
        order = orjson.dumps({"handler": self._plan.handler, "input": {"n": number}})
        if self._plan.at_once:
            job = ended = await self._ask(client, post("/v1/jobs", order, token, **_WAITS), 200, 202)
        else:
            job = await self._ask(client, post("/v1/jobs", order, token), 202)
            ended = await self._look(client, token, job["id"])
        for _ in range(_ASKED_AGAIN_AT_MOST):
            if ended["status"] not in ("queued", "running"):
                break
            self.tally.asked_again += 1
            ended = await self._look(client, token, job["id"])
        if (ended["id"], ended["status"], ended["output"]) != (job["id"], "succeeded", {"n": number}):
            raise WrongAnswerError(f"job {job['id']} ended as {ended['status']} with {ended['output']}")

    async def _look(self, client: Exchanges, token: str, id: str) -> dict[str, Any]:
        return await self._ask(client, get(f"/v1/jobs/{id}", token, **_WAITS), 200)

    async def _ask(self, client: Exchanges, message: bytes, *expected: int) -> dict[str, Any]:
        """The job in the answer; asked again after a moment when turned away. Raises as `read`."""
        answer = await client.exchange(message)
        for _ in range(_REFUSED_AT_MOST):
            if answer[0] not in REFUSALS:
                break
            self.tally.refused += 1
            await asyncio.sleep(AGAIN_SECONDS)
            answer = await client.exchange(message)
        return read(answer, *expected)


def read(answer: tuple[int, bytes], *expected: int) -> dict[str, Any]:
    """The job in an answer. Raises WrongAnswerError for another status."""
    status, body = answer
    if status not in expected:
        raise WrongAnswerError(f"status {status} instead of {expected[0]}: {shown(body)}")
    job: dict[str, Any] = orjson.loads(body)
    return job
