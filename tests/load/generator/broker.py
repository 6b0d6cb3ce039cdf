"""Passes single messages through the Pub/Sub emulator by its bare gRPC methods: the broker's own share of a job's way.

From the call that publishes to the message in hand, with as many pulls listening as a worker keeps, as far out of step.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from google.pubsub_v1 import types

from tests.load.generator.http1 import Address

if TYPE_CHECKING:
    from types import TracebackType

_PROJECT: Final = "projects/sluice-load"
_CALL_SECONDS: Final = 10.0
_PULL_SECONDS: Final = 3.0


class Bare:
    """An async context manager: a topic and a subscription of its own, with pulls that run all the time."""

    def __init__(self, address: str, *, pulls: int, step_seconds: float) -> None:
        host, _, port = address.rpartition(":")
        Address(host, int(port))  # refuses what is not this machine
        self._channel = grpc.aio.insecure_channel(address)
        name = f"probe-{os.getpid()}-{os.urandom(4).hex()}"
        self._topic, self._subscription = f"{_PROJECT}/topics/{name}", f"{_PROJECT}/subscriptions/{name}"
        self._pulls, self._step_seconds, self._next_pull = pulls, step_seconds, 0.0
        self._pulling: list[asyncio.Task[None]] = []
        self._arrived: dict[bytes, asyncio.Future[float]] = {}

    async def __aenter__(self) -> Self:
        await self._call("Publisher/CreateTopic", types.Topic(name=self._topic), types.Topic)
        wanted = types.Subscription(name=self._subscription, topic=self._topic, ack_deadline_seconds=60)
        await self._call("Subscriber/CreateSubscription", wanted, types.Subscription)
        self._pulling = [asyncio.create_task(self._pull(), name=f"pull {n}") for n in range(self._pulls)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pulling in self._pulling:
            pulling.cancel()
        await asyncio.gather(*self._pulling, return_exceptions=True)
        await self._channel.close(None)

    async def pass_one(self, number: int) -> float:
        """Seconds from the call that publishes message `number` until it is here. Raises TimeoutError."""
        body = str(number).encode()
        arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._arrived[body] = arrived
        request = types.PublishRequest(topic=self._topic, messages=[types.PubsubMessage(data=body)])
        began = time.perf_counter()
        await self._call("Publisher/Publish", request, types.PublishResponse)
        async with asyncio.timeout(_CALL_SECONDS):
            await arrived
        return arrived.result() - began

    async def _pull(self) -> None:
        request = types.PullRequest(subscription=self._subscription, max_messages=100)
        while True:
            await asyncio.sleep(self._until_my_turn())
            with contextlib.suppress(grpc.aio.AioRpcError):  # an idle pull ends by its deadline
                pulled = await self._call("Subscriber/Pull", request, types.PullResponse, _PULL_SECONDS)
                await self._take(pulled.received_messages)

    def _until_my_turn(self) -> float:
        """Seconds until a pull may begin so that no two begin within a step."""
        now = time.perf_counter()
        turn = max(now, self._next_pull)
        self._next_pull = turn + self._step_seconds
        return turn - now

    async def _take(self, received: Any) -> None:
        now = time.perf_counter()
        for each in received:
            arrived = self._arrived.pop(each.message.data, None)
            if arrived is not None:
                arrived.set_result(now)
        if received:
            ids = [each.ack_id for each in received]
            request = types.AcknowledgeRequest(subscription=self._subscription, ack_ids=ids)
            await self._call("Subscriber/Acknowledge", request, None)

    async def _call(self, method: str, request: Any, answer: Any, within: float = _CALL_SECONDS) -> Any:
        call = self._channel.unary_unary(
            f"/google.pubsub.v1.{method}",
            request_serializer=type(request).serialize,
            response_deserializer=answer.deserialize if answer else bytes,
        )
        return await call(request, timeout=within)
