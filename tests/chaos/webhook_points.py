"""Named points around every effect that a webhooks service has outside of itself. See `points`, whose they are like.

create   the write of a delivery, from an event              post     the request to the endpoint
claim    the write before an attempt at one from the store   record   the write of what came of it
tell     the event that an endpoint was disabled             ack      the acknowledgement of the event
"""

from collections.abc import Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp

from services.webhooks.app import Adapters
from shared.models.delivery import Delivery, DeliveryState
from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.webhook_contract import Deliveries, DeliveryPlace
from tests.chaos.points import PointedPublisher, PointedSource, Points

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from yarl import URL

ACTS: Final = ("create", "claim", "post", "record", "tell", "ack")
WEBHOOK_POINTS: Final = tuple(f"{act}.{side}" for act in ACTS for side in ("before", "after"))


def pointed_webhooks(adapters: Adapters, points: Points) -> Adapters:
    """The same adapters with the points in them."""
    return replace(
        adapters,
        deliveries=PointedDeliveries(adapters.deliveries, points),
        publisher=PointedPublisher(adapters.publisher, points, "tell"),
        source=PointedSource(adapters.source, points),
        client=cast(aiohttp.ClientSession, PointedClient(adapters.client, points)),
    )


class PointedDeliveries:
    def __init__(self, deliveries: Deliveries, points: Points) -> None:
        self._deliveries = deliveries
        self._points = points

    async def read(self, id: str) -> Stored[Delivery] | None:
        return await self._deliveries.read(id)

    async def create(self, delivery: Delivery) -> WriteResult:
        self._points.reach("create.before")
        result = await self._deliveries.create(delivery)
        self._points.reach("create.after")
        return result

    async def update(self, delivery: Delivery, held: Version) -> WriteResult:
        act = "claim" if delivery.state is DeliveryState.SENDING else "record"
        self._points.reach(f"{act}.before")
        result = await self._deliveries.update(delivery, held)
        self._points.reach(f"{act}.after")
        return result

    async def due(
        self, shards: Collection[int], *, since: int = 0, until: int, limit: int
    ) -> Sequence[Stored[Delivery]]:
        return await self._deliveries.due(shards, since=since, until=until, limit=limit)

    async def recoverable(
        self, endpoint: str, *, since: int, after: DeliveryPlace | None, limit: int
    ) -> Sequence[Stored[Delivery]]:
        return await self._deliveries.recoverable(endpoint, since=since, after=after, limit=limit)


class PointedClient:
    """What the poster uses of a session."""

    def __init__(self, client: aiohttp.ClientSession, points: Points) -> None:
        self._client = client
        self._points = points

    @asynccontextmanager
    async def post(self, url: "URL", **options: Any) -> "AsyncIterator[aiohttp.ClientResponse]":
        self._points.reach("post.before")
        async with self._client.post(url, **options) as answer:
            self._points.reach("post.after")
            yield answer
