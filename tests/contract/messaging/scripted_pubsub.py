"""A gRPC server that speaks Pub/Sub's protocol and answers as a test tells it: the wire, faked.

It keeps no messages. Every request is recorded and answered by `answer`; `hold` stops it from answering until
`release`.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from shared.messaging.pubsub import wire

PublishResponse: Any = types.PublishResponse.pb()

_REQUESTS: dict[str, Any] = {
    wire.PUBLISH: wire.PublishRequest,
    wire.PULL: wire.PullRequest,
    wire.ACKNOWLEDGE: wire.AcknowledgeRequest,
    wire.MODIFY_ACK_DEADLINE: wire.ModifyAckDeadlineRequest,
}

Answer = Callable[[Any], grpc.StatusCode | None]
"""The status with which a request fails; None: it succeeds."""


def succeed(_: Any) -> None:
    """The answer of a broker in good health."""


class ScriptedPubSub:
    """An async context manager; `address` is `host:port`. Takes a free port where none is given."""

    def __init__(self, port: int = 0) -> None:
        self.address = f"127.0.0.1:{port}"
        self.answer: Answer = succeed
        self.requests: list[Any] = []
        """Every request, in the order of arrival."""
        self.metadata: list[dict[str, str]] = []
        self.seconds_left: list[float] = []
        """The time that each request's deadline left the server."""
        self.most_under_way = 0
        self._under_way = 0
        self._released = asyncio.Event()
        self._released.set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=(("grpc.max_receive_message_length", -1),))
        self._server.add_generic_rpc_handlers(_handlers(self._serve))
        self.address = f"127.0.0.1:{self._server.add_insecure_port(self.address)}"
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(None)

    def hold(self) -> None:
        """Answer nothing until `release`."""
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    async def arrived(self, requests: int) -> None:
        """Return once so many requests have arrived."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= requests)

    @property
    def batches(self) -> list[list[bytes]]:
        """The bodies of each request to publish, in the order of arrival."""
        return [
            [message.data for message in request.messages]
            for request in self.requests
            if isinstance(request, wire.PublishRequest)
        ]

    async def _serve(self, request: Any, context: Any) -> Any:
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        try:
            await self._record(request, context)
            await self._released.wait()
            if status := self.answer(request):
                await context.abort(status, "as the test has it")
            return _reply(request)
        finally:
            self._under_way -= 1

    async def _record(self, request: Any, context: Any) -> None:
        async with self._changed:
            self.requests.append(request)
            self.metadata.append(dict(context.invocation_metadata()))
            self.seconds_left.append(context.time_remaining())
            self._changed.notify_all()


def _reply(request: Any) -> Any:
    if isinstance(request, wire.PublishRequest):
        return PublishResponse(message_ids=[str(number) for number, _ in enumerate(request.messages)])
    return wire.PullResponse() if isinstance(request, wire.PullRequest) else Empty()


def _handlers(serve: Any) -> list[Any]:
    services: dict[str, dict[str, Any]] = {}
    for path, request in _REQUESTS.items():
        _, service, method = path.split("/")
        services.setdefault(service, {})[method] = _method(serve, request)
    return [grpc.method_handlers_generic_handler(service, methods) for service, methods in services.items()]


def _method(serve: Any, request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        serve, request_deserializer=request.FromString, response_serializer=lambda reply: reply.SerializeToString()
    )
