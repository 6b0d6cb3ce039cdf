"""Publishing with group commit: the adapter behind `contract.BulkPublisher`.

Used by whoever accepts jobs or tells events.

A batch that failed for a passing reason is sent again while its callers have time and the retry budget lasts. A batch
that was refused is halved until the message at fault stands alone. What a caller hears when its time is up depends on
whether its message has ever left this process: BrokerUnavailable if not, PublishUnknown if it may have arrived.

Deadlines are the loop's own time, as gRPC's are.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc

from shared.deadlines import Deadlines
from shared.errors import BrokerUnavailable, MessageRefused, Overloaded, PublishUnknown
from shared.messaging.backoff import Draw, RetryBudget, full_jitter
from shared.messaging.contract import Message
from shared.messaging.limits import size_of
from shared.messaging.pubsub import wire
from shared.messaging.pubsub.batching import BatchQueue
from shared.messaging.pubsub.channel import PubSubChannel, Resource
from shared.messaging.pubsub.status import Failure, explain, failure_of

_OVERHEAD: Final = 64  # bytes of framing that a message may add to a request
_BASE_SECONDS: Final = 0.05
_CAP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """How much may wait, and how it is cut into requests."""

    max_messages: int = 50_000
    """Waiting or in flight, over all topics; past it publishing raises Overloaded."""
    max_bytes: int = 128 * 1024 * 1024
    batch_messages: int = 1_000
    """Pub/Sub takes no more in one request."""
    batch_bytes: int = 8_000_000
    """Pub/Sub takes 10 MB; a message that is larger than this travels alone."""
    batches_in_flight: int = 4
    """For one topic; see `batching`."""


class _Flight:
    """One batch's journey, through all its attempts."""

    __slots__ = ("uncertain",)

    def __init__(self, *, uncertain: bool) -> None:
        self.uncertain = uncertain
        """Whether an attempt is under way, or ended without an answer: the messages may have arrived."""


class _Publication:
    """One message and the caller who waits for its acceptance."""

    __slots__ = ("accepted", "deadline", "flight", "message", "size", "topic", "trouble")

    def __init__(self, topic: Resource, message: Message, size: int, deadline: float) -> None:
        self.topic, self.message, self.size, self.deadline = topic, message, size, deadline
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.flight: _Flight | None = None
        self.trouble = "no connection to the broker"

    @property
    def settled(self) -> bool:
        return self.accepted.done()

    def accept(self) -> None:
        if not self.accepted.done():
            self.accepted.set_result(None)

    def refuse(self, reason: str) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(MessageRefused(reason))

    def abandon(self) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(self._unanswered())

    def _unanswered(self) -> BrokerUnavailable:
        flight = self.flight
        if flight is not None and flight.uncertain:
            return PublishUnknown(f"not confirmed in time ({self.trouble})")
        return BrokerUnavailable(f"not published ({self.trouble})")


class PubSubPublisher:
    """Publishes to the channel's project. Close it before the channel."""

    def __init__(
        self, channel: PubSubChannel, *, limits: PublishLimits = PublishLimits(), draw: Draw = random.random
    ) -> None:
        self._channel = channel
        self._limits = limits
        self._draw = draw
        self._publish = channel.call(wire.PUBLISH, wire.PublishRequest)
        self._budget = RetryBudget()
        self._deadlines = Deadlines(_Publication.abandon)
        self._topics: dict[str, tuple[Resource, BatchQueue[_Publication]]] = {}
        self._messages = self._bytes = 0
        self._closed = False

    async def publish(self, topic: str, message: Message, *, timeout_seconds: float) -> None:
        """As `contract.Publisher.publish`. A cancelled caller leaves the others alone; its message may be published."""
        size = size_of(message) + _OVERHEAD
        self._admit(1, size, timeout_seconds)
        resource, queue = self._topics.get(topic) or self._open(topic)
        loop = asyncio.get_running_loop()
        publication = _Publication(resource, message, size, loop.time() + timeout_seconds)
        queue.add(publication)
        due = self._deadlines.add(publication, publication.deadline)
        try:
            await publication.accepted
        finally:
            due.discard(publication)
            queue.withdraw(publication)
            self._messages -= 1
            self._bytes -= size

    async def publish_all(self, topic: str, messages: Sequence[Message], *, timeout_seconds: float) -> None:
        """As `contract.BulkPublisher.publish_all`, with one timer and one admission for all."""
        sizes = [size_of(message) + _OVERHEAD for message in messages]
        total = sum(sizes)
        self._admit(len(sizes), total, timeout_seconds)
        resource, queue = self._topics.get(topic) or self._open(topic)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        publications = [
            _Publication(resource, message, size, deadline) for message, size in zip(messages, sizes, strict=True)
        ]
        for publication in publications:
            queue.add(publication)
        timer = loop.call_at(deadline, _abandon, publications)
        try:
            await _all_accepted(publications)
        finally:
            timer.cancel()
            for publication in publications:
                queue.withdraw(publication)
            self._messages -= len(sizes)
            self._bytes -= total

    async def aclose(self, *, deadline_seconds: float) -> None:
        """Take nothing more, send what waits for up to `deadline_seconds`, then fail the rest."""
        self._closed = True
        queues = [queue for _, queue in self._topics.values()]
        draining = [asyncio.create_task(queue.drained(), name="drain publisher") for queue in queues]
        if draining:
            await asyncio.wait(draining, timeout=deadline_seconds)
        for task in draining:
            task.cancel()
        await asyncio.gather(*draining, *(queue.aclose() for queue in queues), return_exceptions=True)

    def _admit(self, count: int, size: int, timeout_seconds: float) -> None:
        if self._closed:
            raise BrokerUnavailable("the publisher is closed")
        if timeout_seconds <= 0:
            raise BrokerUnavailable("no time is left to publish")
        if self._messages + count > self._limits.max_messages or self._bytes + size > self._limits.max_bytes:
            raise Overloaded(f"{self._messages} messages ({self._bytes} bytes) wait to be published")
        self._messages += count
        self._bytes += size

    def _open(self, topic: str) -> tuple[Resource, BatchQueue[_Publication]]:
        queue: BatchQueue[_Publication] = BatchQueue(
            self._deliver,
            gate=self._channel.until_ready,
            max_items=self._limits.batch_messages,
            max_bytes=self._limits.batch_bytes,
            max_in_flight=self._limits.batches_in_flight,
        )
        self._topics[topic] = opened = (self._channel.topic(topic), queue)
        return opened

    async def _deliver(self, batch: list[_Publication], *, uncertain: bool = False) -> None:
        """Settle every publication in `batch`, or leave it when its callers have gone or the budget is spent."""
        flight = _Flight(uncertain=uncertain)
        for publication in batch:
            publication.flight = flight
        attempt = 0
        while batch := [each for each in batch if not each.settled]:
            error = await self._attempt(batch, flight)
            if error is None:
                return
            if not await self._again_after(error, batch, flight, attempt):
                return
            attempt += 1

    async def _attempt(self, batch: list[_Publication], flight: _Flight) -> grpc.aio.AioRpcError | None:
        """Send once. The error, or None when every publication is accepted."""
        topic, request = batch[0].topic, _request(batch)
        seconds = max(each.deadline for each in batch) - asyncio.get_running_loop().time()
        before, flight.uncertain = flight.uncertain, True
        try:
            await self._publish(request, timeout=max(seconds, 0.001), metadata=topic.routing)
        except grpc.aio.AioRpcError as error:
            flight.uncertain = before or failure_of(error) is Failure.UNKNOWN
            return error
        self._budget.succeeded()
        for each in batch:
            each.accept()
        return None

    async def _again_after(
        self, error: grpc.aio.AioRpcError, batch: list[_Publication], flight: _Flight, attempt: int
    ) -> bool:
        """Wait for the moment to try again. False when there is nothing more to do for the batch."""
        failure, trouble = failure_of(error), explain(error, batch[0].topic.path)
        for each in batch:
            each.trouble = trouble
        if failure is Failure.INVALID:
            await self._single_out(batch, trouble, uncertain=flight.uncertain)
            return False
        if failure is Failure.DENIED or not self._budget.failed():
            return False
        wait = full_jitter(attempt, base_seconds=_BASE_SECONDS, cap_seconds=_CAP_SECONDS, draw=self._draw)
        await asyncio.sleep(wait)
        await self._channel.until_ready()
        return True

    async def _single_out(self, batch: list[_Publication], reason: str, *, uncertain: bool) -> None:
        """One bad message fails the whole request, so halve it until that message stands alone."""
        if len(batch) == 1:
            batch[0].refuse(reason)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            await self._deliver(half, uncertain=uncertain)


def _abandon(publications: Sequence[_Publication]) -> None:
    for publication in publications:
        publication.abandon()


async def _all_accepted(publications: Sequence[_Publication]) -> None:
    """Raises what befell one of them: rather a refusal, or a doubt, than a plain failure."""
    faults: list[BrokerUnavailable | MessageRefused] = []
    try:
        for publication in publications:
            try:
                await publication.accepted
            except (BrokerUnavailable, MessageRefused) as fault:
                faults.append(fault)
    finally:
        for publication in publications:  # nobody hears of those that are left where this was cancelled
            if not publication.accepted.cancel() and not publication.accepted.cancelled():
                publication.accepted.exception()
    if faults:
        raise max(faults, key=lambda fault: (isinstance(fault, MessageRefused), isinstance(fault, PublishUnknown)))


def _request(batch: list[_Publication]) -> Any:
    request = wire.PublishRequest(topic=batch[0].topic.path)
    for each in batch:
        message = request.messages.add(data=each.message.body)
        attributes = message.attributes
        for name, value in each.message.attributes.items():  # twice as fast as handing over the mapping
            attributes[name] = value
    return request
