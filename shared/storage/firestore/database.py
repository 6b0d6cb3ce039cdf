"""One Firestore database as the repositories see it: single reads and writes, grouped behind their backs.

Made and entered by the composition root, in the loop that will use it and so after any fork. Leaving it finishes what
is under way, for which each call's deadline is the bound, and closes the connection.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from shared.storage.contract import Version, WriteResult
from shared.storage.firestore import writes
from shared.storage.firestore.committer import Committer
from shared.storage.firestore.connection import Connection
from shared.storage.firestore.limits import Limits
from shared.storage.firestore.protobuf import BatchWriteRequest, Message
from shared.storage.firestore.queries import Queries
from shared.storage.firestore.reader import Found, Reader
from shared.storage.firestore.retry import Retries
from shared.storage.firestore.target import Collection, Target
from shared.storage.firestore.writer import Writer

_PROBE = "probe"


@dataclass(frozen=True, slots=True)
class _Session:
    """What exists between entering and leaving."""

    connection: Connection
    writer: Writer
    committer: Committer
    reader: Reader
    queries: Queries

    @classmethod
    async def open(cls, target: Target, limits: Limits, retries: Retries) -> Self:
        connection = await Connection.open(target)
        return cls(
            connection,
            Writer(connection, target.root, limits, retries),
            Committer(connection, target.root, limits, retries),
            Reader(connection, target.root, limits, retries),
            Queries(connection, target, limits, retries),
        )

    async def close(self) -> None:
        await asyncio.gather(self.writer.close(), self.committer.close(), self.reader.close(), self.queries.close())
        await self.connection.close()


class FirestoreDatabase:
    """An async context manager; ConfigError on entering where there are no Google credentials.

    emulator_host: `host:port`, or None for the real service.
    jitter: returns numbers of [0, 1), for the pauses before retries.
    """

    def __init__(
        self,
        project: str,
        emulator_host: str | None = None,
        database: str = "(default)",
        *,
        limits: Limits | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._target = Target(project, database, emulator_host)
        self._limits = limits or Limits()
        self._retries = Retries(jitter)
        self._session: _Session | None = None

    async def __aenter__(self) -> Self:
        self._session = await _Session.open(self._target, self._limits, self._retries)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered.close()

    def collection(self, name: str) -> Collection:
        """Names the documents of a collection. Needs no connection."""
        return Collection(f"{self._target.documents}/{name}/")

    def write(self, name: str, payload: bytes) -> Coroutine[Any, Any, WriteResult]:
        """See `Writer.write`."""
        return self._entered.writer.write(name, payload)

    async def delete(self, name: str, held: Version) -> WriteResult:
        """Delete the document if nobody wrote since `held`, which is the answer then. Raises as `Writer.write` does."""
        request = BatchWriteRequest()
        writes.delete(request, name, held)
        result = await self.write(name, request.SerializeToString())
        return held if isinstance(result, Version) else result

    def commit(self, payload: bytes) -> Coroutine[Any, Any, WriteResult]:
        """See `Committer.commit`."""
        return self._entered.committer.commit(payload)

    def read(self, name: str) -> Coroutine[Any, Any, Found | None]:
        """See `Reader.read`."""
        return self._entered.reader.read(name)

    def query(self, query: Message, most_bytes: int | None = None) -> Coroutine[Any, Any, Sequence[Found]]:
        """See `Queries.run`."""
        return self._entered.queries.run(query, most_bytes)

    def pick(self, names: Iterable[str], fields: Iterable[str]) -> Coroutine[Any, Any, Sequence[Found]]:
        """See `Queries.pick`."""
        return self._entered.queries.pick(names, fields)

    async def ping(self) -> None:
        """Return once the database has answered a read. Raises StoreUnavailable, Overloaded."""
        await self.read(self.collection(_PROBE).name(_PROBE))

    @property
    def _entered(self) -> _Session:
        if self._session is None:
            raise RuntimeError("the database is used outside its context")
        return self._session
