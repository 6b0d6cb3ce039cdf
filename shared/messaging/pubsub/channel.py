"""The connection to Pub/Sub that publisher and source share: one HTTP/2 channel, made in the running loop.

No client of the library stands on it: those add interceptors and retry for minutes. Every call carries its own deadline
and is made once; who called decides whether to ask again.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Self

import grpc
from google.api_core.gapic_v1 import routing_header

from shared.messaging.pubsub import wire

_log = logging.getLogger(__name__)

_OPTIONS: list[tuple[str, int]] = [
    ("grpc.keepalive_time_ms", 30_000),  # the service closes connections that ping more often
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),  # by default up to two minutes pass before the next try
    ("grpc.use_local_subchannel_pool", 1),  # or channels to one address would share a connection
    ("grpc.max_send_message_length", -1),  # sizes are ours to check
    ("grpc.max_receive_message_length", -1),  # a hundred messages of 9 MB may come in one answer
]


@dataclass(frozen=True, slots=True)
class Resource:
    """A topic or subscription, by its full name, with the header that routes calls to it."""

    path: str
    routing: tuple[tuple[str, str], ...]


class PubSubChannel:
    """A connection, and the project whose topics it reaches. Close it after publisher and source.

    A server takes about 100 calls at a time on one connection, and a source keeps some waiting for each subscription: a
    service that reads many gives its source a channel of its own.
    """

    def __init__(self, channel: grpc.aio.Channel, project: str) -> None:
        self._channel = channel
        self._project = project
        self._ready = asyncio.Event()
        self._watch = asyncio.create_task(self._follow_state(), name="pubsub channel")
        self._watch.add_done_callback(_report_fault)

    @classmethod
    def open(cls, project: str, *, emulator: str | None = None) -> Self:
        """Start connecting. Call it in the loop that will use it.

        emulator: its `host:port`; without one the real service is meant, with application default credentials.
        Raises google.auth.exceptions.DefaultCredentialsError where there are none.
        """
        if emulator:
            return cls(grpc.aio.insecure_channel(emulator, options=_OPTIONS), project)
        return cls(_authorised(), project)

    def topic(self, id: str) -> Resource:
        return self._resource("topic", "topics", id)

    def subscription(self, id: str) -> Resource:
        return self._resource("subscription", "subscriptions", id)

    def call(self, method: str, request: Any, response: Any = None) -> "grpc.aio.UnaryUnaryMultiCallable[Any, Any]":
        """The stub of a method. Without a response type the answer's bytes are left alone."""
        parse = None if response is None else response.FromString
        return self._channel.unary_unary(
            method, request_serializer=request.SerializeToString, response_deserializer=parse
        )

    @property
    def ready(self) -> bool:
        """Whether there is a connection at this moment, so that a call made now leaves this machine."""
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def until_ready(self) -> None:
        """Return once there is a connection; the caller owns the deadline."""
        while not self.ready:
            self._ready.clear()
            await self._ready.wait()

    async def aclose(self) -> None:
        """Close the connection, failing the calls in flight."""
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        await self._channel.close(None)

    async def _follow_state(self) -> None:
        """Keeps the connection up while nobody calls, and wakes who waits for it. One watcher for all: they pile up."""
        while True:
            state = self._channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                self._ready.set()
            await self._channel.wait_for_state_change(state)

    def _resource(self, kind: str, collection: str, id: str) -> Resource:
        path = f"projects/{self._project}/{collection}/{id}"
        header: Any = routing_header
        return Resource(path, (header.to_grpc_metadata(((kind, path),)),))


def _report_fault(watch: asyncio.Task[None]) -> None:
    if not watch.cancelled() and (fault := watch.exception()):
        _log.error("The connection is no longer watched", exc_info=fault)


def _authorised() -> grpc.aio.Channel:
    channel: grpc.aio.Channel = wire.PublisherTransport.create_channel(options=_OPTIONS)
    return channel
