"""The gRPC connection to Firestore: made in the running loop, after any fork; its raw calls; waiting until it stands.

Nobody sends before the connection stands (`ready`). So a call that fails for want of a connection was never sent, and
whatever fails after that may have arrived: the writer and the committer build on this distinction.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, cast

import google.auth
import grpc
import grpc.aio
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport

from shared.errors import ConfigError, StoreUnavailable
from shared.storage.firestore import protobuf
from shared.storage.firestore.protobuf import Message
from shared.storage.firestore.target import Target

_SERVICE: Final = "/google.firestore.v1.Firestore"
_OPTIONS: Final = (
    # gRPC itself sends again what never reached the server; a policy that resends more would make refusals ambiguous.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of our own, so that its state is about us alone
)


class Connection:
    """One channel and the calls on it. `open` before anything else; each call has its own timeout and never retries.

    Calls raise grpc.aio.AioRpcError.
    """

    def __init__(self, target: Target, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._metadata = target.metadata
        self._batch_write = channel.unary_unary(f"{_SERVICE}/BatchWrite", None, protobuf.BatchWriteResponse.FromString)
        self._commit = channel.unary_unary(f"{_SERVICE}/Commit", None, protobuf.CommitResponse.FromString)
        self._batch_get = channel.unary_stream(
            f"{_SERVICE}/BatchGetDocuments", None, protobuf.BatchGetDocumentsResponse.FromString
        )
        self._run_query = channel.unary_stream(f"{_SERVICE}/RunQuery", None, protobuf.RunQueryResponse.FromString)

    @classmethod
    async def open(cls, target: Target) -> "Connection":
        """Make the channel; connecting goes on behind. ConfigError where there are no Google credentials."""
        if target.emulator_host:
            return cls(target, grpc.aio.insecure_channel(target.emulator_host, options=_OPTIONS))
        return cls(target, await _authenticated_channel())

    async def close(self) -> None:
        await self._channel.close(None)

    async def ready(self, deadline: float) -> None:
        """Return once the connection stands.

        deadline: on the loop's clock. Raises StoreUnavailable when it passes first.
        """
        if self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._channel.channel_ready()
        except TimeoutError:
            raise StoreUnavailable("there is no connection to Firestore") from None

    async def batch_write(self, request: bytes, *, timeout: float) -> Message:
        return await self._batch_write(request, timeout=timeout, metadata=self._metadata)

    async def commit(self, request: bytes, *, timeout: float) -> Message:
        return await self._commit(request, timeout=timeout, metadata=self._metadata)

    def batch_get(self, request: bytes, *, timeout: float) -> AsyncIterator[Message]:
        return aiter(self._batch_get(request, timeout=timeout, metadata=self._metadata))

    def run_query(self, request: bytes, *, timeout: float) -> AsyncIterator[Message]:
        return aiter(self._run_query(request, timeout=timeout, metadata=self._metadata))


async def _authenticated_channel() -> grpc.aio.Channel:
    try:  # may ask the metadata server, with blocking calls
        credentials, _ = await asyncio.to_thread(google.auth.default, scopes=FirestoreGrpcAsyncIOTransport.AUTH_SCOPES)
    except DefaultCredentialsError:
        raise ConfigError("no Google credentials were found; set GOOGLE_APPLICATION_CREDENTIALS") from None
    channel = FirestoreGrpcAsyncIOTransport.create_channel(credentials=credentials, options=_OPTIONS)
    return cast("grpc.aio.Channel", channel)
