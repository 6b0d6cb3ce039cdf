"""`POST /v1/batches`: 202 once every item is published, and the batch is sealed.

The body is JSON, or a stream of lines with the options in the query. JSON is checked whole before anything is done.
Lines are published as they come: a bad one ends the upload, and what was published before it stays, in a batch that is
`open`. Sending it again, whole, with the same Idempotency-Key goes on where it broke (`upload`), by the same way that
keyed jobs go (`idempotency`): the key names the batch, and the chunks tell whether the inputs are the same.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from services.gateway.aside import Aside
from services.gateway.batches.inputs import Draft, Inputs, ListedInputs, StreamedInputs
from services.gateway.batches.lines import CONTENT_TYPE, check_encoding
from services.gateway.batches.opening import Asked, Opening
from services.gateway.batches.requests import BatchRequest, options_of, parse_batch, parse_options
from services.gateway.batches.states import BatchStates
from services.gateway.batches.telling import BatchTelling
from services.gateway.batches.upload import Uploads, compare, late, overall, refuse_closed, reused
from services.gateway.http.answers import Accepted, job_answer
from services.gateway.http.edge import TRAIL
from services.gateway.http.headers import idempotency_key, wait_seconds
from services.gateway.http.limits import parse_json, read_body
from services.gateway.http.paging import check_query
from services.gateway.http.problems import UNSUPPORTED_MEDIA_TYPE, Problem, unavailable
from services.gateway.jobs.idempotency import Claim, Idempotency, Proposal, Replayed
from services.gateway.jobs.waiting import Waiting
from services.gateway.settings import Settings
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.models.batch import Batch, BatchSpec
from shared.models.batch_public import batch_snapshot
from shared.models.key import ApiKey
from shared.models.public import Snapshot
from shared.storage.batch_contract import BatchWrites, change

ROUTE = "POST /v1/batches"
LARGE_BYTES = 256 * 1024
"""A larger body is parsed on another thread: it takes tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class BatchDesk:
    """What it takes to accept batches."""

    settings: Settings
    opening: Opening
    uploads: Uploads
    states: BatchStates
    store: BatchWrites
    telling: BatchTelling
    aside: Aside
    clock: Clock

    async def accept(self, asked: Asked, inputs: Inputs, key: ApiKey) -> Accepted:
        """The batch, once all of it is published. Raises Problem, with the batch as it was left."""
        drafts = inputs.drafts(asked.handler.check)
        first = await anext(drafts, None)  # so that a first bad line leaves nothing
        assert first is not None
        batch = await self.opening.open(asked.spec)
        refuse_closed(batch)
        known = await self.uploads.known(batch.spec.id)
        upload = self.uploads.of(batch.spec, key, known)
        try:
            total = await upload.send(_from(first, drafts))
        except Problem as problem:
            raise await self._left_open(problem, batch.spec, upload.accepted) from None
        except asyncio.CancelledError:
            self.aside.do(self._received(batch.spec, upload.accepted), "count a broken upload")
            raise
        return Accepted(await self._sealed(batch.spec, total))

    async def again(self, batch: Batch, inputs: Inputs) -> Accepted:
        """The batch, which was accepted before, if these are its inputs. Raises Problem."""
        await compare(inputs.drafts(None), await self.uploads.known(batch.spec.id))
        if batch.status.terminal:
            return Accepted(batch_snapshot(batch))
        return Accepted(await self.telling.sealed(batch))  # it may be that nobody was told

    async def _sealed(self, spec: BatchSpec, total: int) -> Snapshot:
        now = self.clock.now()
        try:
            async with asyncio.timeout(self.settings.publish_seconds):
                batch = await change(self.store, spec.id, lambda each: each.sealed(total, at=now))
        except (Unavailable, Overloaded, TimeoutError):
            raise unavailable("Not all of the batch was accepted. Send it again.", accepted=False) from None
        if batch is None or batch.total != total:
            raise reused()
        return await self.telling.sealed(batch)

    async def _left_open(self, problem: Problem, spec: BatchSpec, accepted: int) -> Problem:
        """The problem, with what the client needs in order to go on or to give it up."""
        batch = None
        try:
            async with asyncio.timeout(self.settings.store_seconds):
                batch = await self._received(spec, accepted)
        except (Unavailable, Overloaded, TimeoutError):
            pass
        shown = {"id": spec.id} if batch is None else orjson.Fragment(batch_snapshot(batch).body)
        members = {**problem.members, "batch": shown}
        return Problem(problem.type, problem.detail, problem.errors, problem.headers, members)

    async def _received(self, spec: BatchSpec, accepted: int) -> Batch | None:
        batch = await change(self.store, spec.id, lambda each: each.received(accepted))
        if batch is not None:
            await self.telling.shown(batch)
        return batch


class BatchPosting:
    def __init__(self, desk: BatchDesk, *, idempotency: Idempotency, waiting: Waiting) -> None:
        self._desk = desk
        self._idempotency = idempotency
        self._waiting = waiting

    async def post(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        settings = self._desk.settings
        with self._desk.uploads.place(key):
            try:
                async with overall(settings):
                    accepted = await self._accept(request, key)
            except TimeoutError:
                raise late(settings) from None
        return await self._answer(request, key, accepted)

    async def _accept(self, request: web.Request, key: ApiKey) -> Accepted:
        named = idempotency_key(request.headers.getall("Idempotency-Key", ()))
        order = await self._order(request, key)
        if named is None:
            return await (await order.propose()).accept()
        # of megabytes the fingerprint takes tens of milliseconds
        claim = await asyncio.to_thread(Claim.of, tenant=key.tenant, route=ROUTE, key=named, body=order.named)
        met = await self._idempotency.once(claim, order)
        if isinstance(met, Replayed):
            return Accepted(met.value.state, {**met.value.headers, "Idempotency-Replayed": "true"})
        return met.value

    async def _order(self, request: web.Request, key: ApiKey) -> "Order":
        """What is asked for. Raises Problem."""
        settings, traceparent = self._desk.settings, request[TRAIL].traceparent
        if request.content_type == CONTENT_TYPE:
            check_encoding(request)
            check_query(request, request.query.keys())
            options = options_of(request.query)
            named = {"lines": options}
            return Order(self._desk, parse_options(options), StreamedInputs(settings, request), named, key, traceparent)
        check_query(request, ())
        body = await _json(request, settings)
        asked, values = parse_batch(body)
        return Order(self._desk, asked, ListedInputs(settings, values), body, key, traceparent)

    async def _answer(self, request: web.Request, key: ApiKey, accepted: Accepted) -> web.Response:
        state, headers = accepted.state, {"Location": f"/v1/batches/{accepted.state.id}", **accepted.headers}
        wait = wait_seconds(request.headers.getall("Prefer", ()))
        if wait is not None and not state.terminal:
            issued = self._desk.states.verify(state.id, key.tenant)
            try:
                state = await self._waiting.wait(issued, seconds=wait, fresh=state)
                headers["Preference-Applied"] = f"wait={wait}"
            except Problem:
                pass  # no room to wait is no error: the batch was accepted
        return job_answer(state, status=200 if state.terminal else 202, headers=headers)


async def _from(first: Draft, rest: AsyncIterator[Draft]) -> AsyncIterator[Draft]:
    yield first
    async for draft in rest:
        yield draft


@dataclass(frozen=True, slots=True)
class Order:
    """One request for a batch: the `Work` of its Idempotency-Key. named: what the key stands for, but for lines."""

    desk: BatchDesk
    request: BatchRequest
    inputs: Inputs
    named: Mapping[str, Any]
    key: ApiKey
    traceparent: str | None

    async def propose(self) -> "Proposal[Accepted]":
        asked = await self.desk.opening.prepare(self.request, tenant=self.key.tenant, traceparent=self.traceparent)
        await self.inputs.check(asked.handler.check)
        return Fresh(self, asked)

    async def recall(self, id: str) -> Accepted:
        batch = await self.desk.states.document(self.desk.states.verify(id, self.key.tenant))
        return await self.desk.again(batch, self.inputs)

    async def look_for(self, id: str) -> Accepted | None:
        found = await self.desk.states.found(self.desk.states.verify(id, self.key.tenant))
        if found is None or found.value.sealed_at is None:
            return None
        return await self.recall(id)

    async def accept_under(self, id: str) -> Accepted:
        issued = self.desk.states.verify(id, self.key.tenant)
        asked = await self.desk.opening.prepare(
            self.request, tenant=self.key.tenant, traceparent=self.traceparent, under=issued
        )
        await self.inputs.check(asked.handler.check)
        return await self.desk.accept(asked, self.inputs, self.key)


@dataclass(frozen=True, slots=True)
class Fresh:
    """A batch that nobody has heard of."""

    order: Order
    asked: Asked

    @property
    def id(self) -> str:
        return self.asked.spec.id

    @property
    def expires_at(self) -> int:
        return self.asked.spec.created_at + self.asked.spec.lifetime_ms

    @property
    def takes_seconds(self) -> int:
        """Until its document is there. Two that upload the same at the same time do no harm."""
        return round(self.order.desk.settings.publish_seconds) + 1

    async def accept(self) -> Accepted:
        return await self.order.desk.accept(self.asked, self.order.inputs, self.order.key)

    def withdraw(self) -> None:
        """Nobody has heard of it."""


async def _json(request: web.Request, settings: Settings) -> Any:
    """The body as JSON, within its limits. Raises Problem."""
    if request.content_type != "application/json":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, f"The body must be application/json or {CONTENT_TYPE}.")
    most = settings.max_batch_bytes
    body = await read_body(request.clone(client_max_size=most + 1), max_bytes=most, seconds=settings.body_seconds)
    if len(body) <= LARGE_BYTES:
        return parse_json(body)
    return await asyncio.to_thread(parse_json, body)
