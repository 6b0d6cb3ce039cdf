"""A gRPC server that speaks Firestore's protocol and answers as a test tells it: the wire, faked.

It keeps no documents. Each request is recorded; each write and each read is answered by the next of the answers that
the test queued for its document, and by success when none is left. `held` stops it from answering until it is released.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from shared.storage.firestore.protobuf import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    BatchWriteResponse,
    CommitRequest,
    CommitResponse,
    RunQueryRequest,
    RunQueryResponse,
)

Failing = Callable[[Any], grpc.StatusCode | None]


class ScriptedFirestore:
    """An async context manager; `address` is `host:port`."""

    def __init__(self) -> None:
        self.address = ""
        self.requests: list[Any] = []
        """Every request, in the order of arrival."""
        self.metadata: list[dict[str, str]] = []
        self.statuses: dict[str, list[int]] = defaultdict(list)
        """By the last part of a document's name: the numbers of the statuses that its next writes get."""
        self.failing: Failing = lambda request: None
        """The status with which a whole request fails, if it does."""
        self.lost_reads: set[str] = set()
        """Documents at which the next stream of reads breaks off."""
        self.short_replies = 0
        """So many of the next replies to BatchWrite lack their last status."""
        self.released = asyncio.Event()
        self.released.set()
        self.under_way = 0
        self.most_under_way = 0
        self._changed = asyncio.Condition()
        self._written = 0

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=(("grpc.max_receive_message_length", -1),))
        self._server.add_generic_rpc_handlers((_handler(self),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(None)

    def hold(self) -> None:
        """Answer nothing until `release`."""
        self.released.clear()

    def release(self) -> None:
        self.released.set()

    async def arrived(self, requests: int) -> None:
        """Return once so many requests have arrived."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= requests)

    def writes_of(self, name: str) -> list[Any]:
        """Every write of that document, in the order of arrival."""
        return [write for request in self.requests for write in _writes(request) if _last(_name(write)) == name]

    async def batch_write(self, request: Any, context: Any) -> Any:
        await self._received(request, context)
        reply = BatchWriteResponse()
        for write in request.writes:
            queued = self.statuses[_last(_name(write))]
            reply.status.add().code = queued.pop(0) if queued else 0
            self._stamp(reply.write_results.add())
        if self.short_replies:
            self.short_replies -= 1
            del reply.status[-1]
        return reply

    async def commit(self, request: Any, context: Any) -> Any:
        await self._received(request, context)
        queued = self.statuses[_last(_name(request.writes[0]))]
        if queued and (number := queued.pop(0)):
            await context.abort(_code(number), "scripted")
        reply = CommitResponse()
        for _ in request.writes:
            self._stamp(reply.write_results.add())
        return reply

    async def batch_get(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._received(request, context)
        for name in request.documents:
            if _last(name) in self.lost_reads:
                self.lost_reads.discard(_last(name))
                await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")
            reply = BatchGetDocumentsResponse(missing=name)
            reply.read_time.seconds = 1
            yield reply

    async def run_query(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._received(request, context)
        yield RunQueryResponse()

    async def _received(self, request: Any, context: Any) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            async with self._changed:
                self.requests.append(request)
                self.metadata.append(dict(context.invocation_metadata()))
                self._changed.notify_all()
            await self.released.wait()
        finally:
            self.under_way -= 1
        code = self.failing(request)
        if code is not None:
            await context.abort(code, "scripted")

    def _stamp(self, result: Any) -> None:
        self._written += 1
        result.update_time.seconds = 1
        result.update_time.nanos = self._written * 1_000


def _handler(server: ScriptedFirestore) -> "grpc.GenericRpcHandler[Any, Any]":
    def unary(call: Callable[[Any, Any], Awaitable[Any]], request: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(call, request.FromString, _serialised)

    def stream(call: Callable[[Any, Any], AsyncIterator[Any]], request: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(call, request.FromString, _serialised)

    return grpc.method_handlers_generic_handler(
        "google.firestore.v1.Firestore",
        {
            "BatchWrite": unary(server.batch_write, BatchWriteRequest),
            "Commit": unary(server.commit, CommitRequest),
            "BatchGetDocuments": stream(server.batch_get, BatchGetDocumentsRequest),
            "RunQuery": stream(server.run_query, RunQueryRequest),
        },
    )


def _serialised(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _writes(request: Any) -> Any:
    return getattr(request, "writes", ())


def _name(write: Any) -> str:
    return str(write.delete or write.update.name)


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _code(number: int) -> grpc.StatusCode:
    return next(code for code in grpc.StatusCode if code.value[0] == number)
