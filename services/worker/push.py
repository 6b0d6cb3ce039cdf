"""Taking work that Pub/Sub pushes: an HTTP endpoint a lane, for Cloud Run, where a worker lives as long as it is asked.

The other way in is `consume`, which pulls; both hand each message to the same handling (`work`) and have the same face
for the composition root. What a status tells Pub/Sub:

| status | when | Pub/Sub |
|---|---|---|
| 204 | done with | forgets the message (202 would do as well, but is a refusal to the emulator) |
| 429 | its lane is full; its queue is paused; its job runs elsewhere, on a lease; a store does not answer | again |
| 503 | the worker is leaving; the keys to verify tokens cannot be had | again |
| 500 | a fault of ours, which is logged | again |
| 400, 404, 408, 413, 415 | no wrapped message, of no lane here, not sent in time, too large, compressed | again |
| 401, 403 | not signed, or not right; not by an account that may push | again |

Whatever comes again does so after the subscription's backoff, up to its number of deliveries; `Retry-After` is there
for who heeds it, as the local bridge. A push that its sender gives up goes on here: its job is claimed, and ends.
"""

import asyncio
import itertools
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from services.worker.jwks import KeysUnavailable
from services.worker.oidc import Flaw, Verifier
from services.worker.push_lanes import PushedLane, PushedQueue, limits
from services.worker.wrapped import MAX_BODY_BYTES, NotWrapped, delivery_of
from shared.clock import Clock
from shared.lifecycle import running
from shared.messaging.contract import Acknowledge, Delivery, Handle, Redeliver, Verdict
from shared.messaging.judge import Fault, judged
from shared.messaging.push import PATH
from shared.telemetry.metrics import PUSHES, Metrics

BODY_SECONDS: Final = 10.0
"""For the whole body: a message of 9 MB at 10 Mbit/s."""
KEEPALIVE_SECONDS: Final = 620.0
"""Longer than Google's load balancers keep an idle connection (600 s): they, not we, decide when one is over."""
CLOSE_SECONDS: Final = 1.0
LAST_SECONDS: Final = 0.5
"""What a drain may take beyond its deadline, for what it cancelled to be released."""
OPEN_BEYOND_LIMITS: Final = 256
"""Requests that may be open while their tokens are verified or they are refused, beside those in hand."""
FULL_SECONDS: Final = 1.0
PAUSED_SECONDS: Final = 10.0
LEAVING_SECONDS: Final = 1.0
KEYS_SECONDS: Final = 5.0
COMPLAIN_SECONDS: Final = 10.0
"""Between two lines about the same flaw of tokens, whoever sends them."""

_log = logging.getLogger("sluice.worker")


class Receiving:
    """What this worker is pushed, by queue.

    handle: what is done with each message; the same as for pulled ones.
    address: host and port to listen at; several processes may share them.
    beside: runs for as long: what keeps the keys that the verifier needs.
    draw: uniform in 0…1, for when faults come again.
    """

    def __init__(
        self,
        queues: Mapping[str, PushedQueue],
        verifier: Verifier,
        handle: Handle,
        *,
        address: tuple[str, int],
        beside: Callable[[], Coroutine[Any, Any, None]],
        clock: Clock,
        draw: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._queues = queues
        self._verifier = verifier
        self._handle = handle
        self._address = address
        self._beside = beside
        self._clock = clock
        self._draw = draw
        self._pushes = metrics.counter(PUSHES)
        self._places = {path: (name, lane) for name, queue in queues.items() for path, lane in queue.lanes.items()}
        self._most_open = limits(queues.values()) + OPEN_BEYOND_LIMITS
        self._open = 0
        self._paused: set[str] = set()
        self._stopped = False
        self._tasks: set[asyncio.Task[Verdict | Fault]] = set()
        self._ids = itertools.count(1)
        self._complained: dict[Flaw, float] = {}

    @property
    def consumers(self) -> Mapping[str, PushedQueue]:
        return self._queues

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the block lasts."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(PATH, self.answer)
        runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=CLOSE_SECONDS,
        )
        async with running(self._beside()):
            await runner.setup()
            try:
                await web.TCPSite(runner, *self._address, reuse_port=True).start()
                yield
            finally:
                await self._cancelled()
                await runner.cleanup()

    def pause(self, queues: Collection[str]) -> None:
        """Turn away what is pushed from `queues`, and from no others. What was taken goes on.

        It is the scheduler that stops the pushing; until it has, and should it fail, nothing is run all the same.
        """
        paused = {queue for queue in self._queues if queue in queues}
        for queue in sorted(paused ^ self._paused):
            _log.info("a queue is paused" if queue in paused else "a queue goes on", extra={"queue": queue})
        self._paused = paused

    async def stop(self) -> None:
        """Take nothing more, for good: whatever is pushed from now on is answered 503 at once."""
        self._stopped = True

    async def drain(self, seconds: float) -> None:
        """Let what was taken be settled within `seconds`, and turn the rest away."""
        self._stopped = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        await self._cancelled()

    async def answer(self, request: web.Request) -> web.Response:
        """`POST /push/{queue}/{lane}`."""
        if self._stopped:
            return self._leaving()
        if self._open >= self._most_open:
            return self._answered(429, "busy", FULL_SECONDS)
        self._open += 1
        try:
            return await self._refused(request) or await self._taken(request)
        finally:
            self._open -= 1

    async def _refused(self, request: web.Request) -> web.Response | None:
        """The answer to whoever may not push here; None for whoever may."""
        try:
            found = await self._verifier.verify(request.headers.get("Authorization"))
        except KeysUnavailable:
            return self._answered(503, "keys_unavailable", KEYS_SECONDS)
        if not isinstance(found, Flaw):
            return None
        self._complain(found)
        known = found in {Flaw.EMAIL, Flaw.EMAIL_UNVERIFIED}
        return self._answered(403 if known else 401, f"token_{found}")

    async def _taken(self, request: web.Request) -> web.Response:
        name, lane = self._places.get(request.path, ("", None))
        if lane is None:
            return self._answered(404, "no_such_lane")
        if name in self._paused:
            return self._answered(429, "paused", PAUSED_SECONDS)
        with self._queues[name].place(lane) as free:
            if not free:
                return self._answered(429, "full", FULL_SECONDS)
            body = await _read(request)
            if isinstance(body, int):
                return self._answered(body, "unreadable")
            try:
                delivery = delivery_of(body, lane.subscription, f"push-{next(self._ids)}")
            except NotWrapped as fault:
                _log.error("a push is no message", extra={"subscription": lane.subscription, "fault": str(fault)})
                return self._answered(400, "not_wrapped")
            if self._stopped:  # it came while the body was read
                return self._leaving()
            return await self._worked(lane, delivery)

    async def _worked(self, lane: PushedLane, delivery: Delivery) -> web.Response:
        """Handled in a task of our own, which goes on when the sender leaves, and which a drain can end."""
        lane.took(delivery)
        task = asyncio.create_task(judged(self._handle, delivery, self._draw), name=f"push {delivery.message_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _done: lane.held.pop(delivery.ack_id, None))
        await asyncio.wait({task})
        if task.cancelled():
            lane.counters.released += 1
            return self._leaving()
        return self._judged(lane, task.result())

    def _judged(self, lane: PushedLane, verdict: Verdict | Fault) -> web.Response:
        counters = lane.counters
        match verdict:
            case Acknowledge():
                counters.acknowledged += 1
                return self._answered(204, "acknowledged")
            case Redeliver(after_seconds):
                counters.redelivered += 1
                return self._leaving() if self._stopped else self._answered(429, "redelivered", after_seconds)
            case Fault(after_seconds):
                counters.redelivered += 1
                counters.faults += 1
                return self._answered(500, "fault", after_seconds)

    def _leaving(self) -> web.Response:
        response = self._answered(503, "leaving", LEAVING_SECONDS)
        response.force_close()
        return response

    def _answered(self, status: int, outcome: str, retry_seconds: float | None = None) -> web.Response:
        self._pushes.labels(outcome).inc()
        headers = {} if retry_seconds is None else {"Retry-After": str(max(0, math.ceil(retry_seconds)))}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return web.Response(status=status, headers=headers)

    def _complain(self, flaw: Flaw) -> None:
        now = self._clock.monotonic()
        if now - self._complained.get(flaw, -math.inf) >= COMPLAIN_SECONDS:
            self._complained[flaw] = now
            _log.warning("a push was refused for its token", extra={"flaw": str(flaw)})

    async def _cancelled(self) -> None:
        """End what still runs; it gives its job back."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_SECONDS)
            await asyncio.sleep(0)  # their answers are made


async def _read(request: web.Request) -> bytes | int:
    """The body, or the status that says why it was not read."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        return 415
    if (request.content_length or 0) > MAX_BODY_BYTES:
        return 413
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return 413
    except TimeoutError:
        return 408
    except (ConnectionError, web.RequestPayloadError):
        return 400
