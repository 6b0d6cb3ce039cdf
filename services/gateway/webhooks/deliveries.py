"""The delivery log: what was sent to whom, each attempt, and sending one again."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from services.gateway.http.asking import nothing_else
from services.gateway.http.paging import Cursors, check_query, page_answer, page_of
from services.gateway.http.problems import INVALID_REQUEST, WEBHOOK_DISABLED, Problem, not_found, unavailable
from services.gateway.webhooks.endpoints import MAX_ROUNDS, EndpointStore, answer
from shared.models.delivery import Delivery, DeliveryState, shown_delivery
from shared.models.key import ApiKey
from shared.storage.contract import Conflict, Stored
from shared.storage.webhook_contract import DeliveryFilter, DeliveryLog, DeliveryPlace


@dataclass(frozen=True, slots=True)
class DeliveryRoutes:
    store: EndpointStore
    log: DeliveryLog
    cursors: Cursors

    async def of_endpoint(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/webhooks/{id}/deliveries`."""
        stored = await self.store.find(request, key)
        return await self._page(request, key, endpoint=stored.value.id)

    async def about(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/deliveries?subject=`: about one job, also those of its one-off webhook."""
        subject = request.query.get("subject")
        if not subject or len(subject) > 200:
            raise Problem(INVALID_REQUEST, "The query's subject must be the id of what the deliveries are about.")
        return await self._page(request, key, subject=subject)

    async def get(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/deliveries/{id}`."""
        check_query(request, ())
        stored = await self._find(request, key)
        return answer(shown_delivery(stored.value))

    async def redeliver(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/deliveries/{id}/redeliver`: again from the first attempt on, soon. One that is being sent is."""
        await nothing_else(request)
        for _ in range(MAX_ROUNDS):
            stored = await self._find(request, key)
            if stored.value.state is DeliveryState.SENDING:
                return answer(shown_delivery(stored.value), status=202)
            await self._check_endpoint(stored.value)
            now = self.store.clock.now()
            wanted = stored.value.again(due_at=now, at=now)
            if not isinstance(await self.log.update(wanted, stored.version), Conflict):
                return answer(shown_delivery(wanted), status=202)
            await asyncio.sleep(0)
        raise unavailable("The delivery keeps changing.")

    async def _page(
        self, request: web.Request, key: ApiKey, *, endpoint: str | None = None, subject: str | None = None
    ) -> web.Response:
        state = _state(request.query.get("state"))
        listing = f"deliveries of {key.tenant} {endpoint} {subject} {state}"
        page = page_of(request, self.cursors, listing, filters=["state", *(["subject"] if subject else [])])
        wanted = DeliveryFilter(key.tenant, endpoint, subject, state)
        found = await self.log.page(wanted, after=_place(page.after), limit=page.limit + 1)
        data = found[: page.limit]
        more = None
        if len(found) > page.limit:
            last = DeliveryPlace.of(data[-1])
            more = self.cursors.seal(listing, f"{last.created_at} {last.id}")
        return page_answer(request, [shown_delivery(each) for each in data], more)

    async def _find(self, request: web.Request, key: ApiKey) -> Stored[Delivery]:
        id = request.match_info["id"]
        stored = await self.log.read(id) if self.store.ids.verify("dlv", key.tenant, id) else None
        if stored is None or stored.value.tenant != key.tenant or self.store.clock.now() >= stored.value.forget_at:
            raise not_found()
        return stored

    async def _check_endpoint(self, delivery: Delivery) -> None:
        if delivery.url is not None:
            return
        stored = await self.store.endpoints.read(delivery.endpoint)
        if stored is None:
            raise not_found()
        if not stored.value.enabled:
            raise Problem(WEBHOOK_DISABLED, "The webhook is disabled; enable it first.")


def _state(text: str | None) -> DeliveryState | None:
    if text is None:
        return None
    try:
        return DeliveryState(text)
    except ValueError:
        raise Problem(INVALID_REQUEST, f"The query's state must be one of {', '.join(DeliveryState)}.") from None


def _place(after: str) -> DeliveryPlace | None:
    if not after:
        return None
    created_at, _, id = after.partition(" ")
    return DeliveryPlace(int(created_at), id)
