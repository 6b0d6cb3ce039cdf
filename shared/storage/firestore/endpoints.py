"""`webhooks/{id}`, `webhook_tenants/{tenant}`, `webhook_health/{id}`: Endpoints, TenantHooks and Healths on Firestore.

An endpoint and its tenant's `changed` counter are written in one atomic commit: whoever compares the tenant's version
with the one that it knows misses no change.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from shared.models.webhook import DisabledBy, Endpoint, EndpointStatus, Health, SealedSecret, TenantHooks
from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import (
    ASCENDING,
    EQUAL,
    BatchWriteRequest,
    CommitRequest,
    Message,
    StructuredQuery,
)
from shared.storage.firestore.values import set_time, time_of
from shared.storage.firestore.writes import ENCODING

ENDPOINT_FIELDS: Final = (
    "tenant",
    "url",
    "events",
    "secrets",
    "created_at",
    "updated_at",
    "labels",
    "headers",
    "sealed_headers",
    "description",
    "status",
    "disabled_by",
    "disabled_at",
    "replaces",
)
SECRET_FIELDS: Final = ("secrets", "secret_created_at", "replaces")
TENANT_FIELDS: Final = (*SECRET_FIELDS, "changed")
HEALTH_FIELDS: Final = ("succeeded_at", "failing_since", "failures", "failed_at")


def set_endpoint(fields: Message, endpoint: Endpoint, replaces: Version | None = None) -> None:
    """Fill in ENDPOINT_FIELDS. Labels are JSON bytes, for a map would refuse keys like `__name__`."""
    fields["tenant"].string_value = endpoint.tenant
    fields["url"].string_value = endpoint.url
    _set_texts(fields, "events", sorted(endpoint.events))
    _set_secrets(fields, endpoint.secrets)
    set_time(fields, "created_at", endpoint.created_at)
    set_time(fields, "updated_at", endpoint.updated_at)
    fields["status"].string_value = endpoint.status
    if endpoint.labels:
        fields["labels"].bytes_value = orjson.dumps(dict(endpoint.labels))
    if endpoint.headers:
        _set_texts(fields, "headers", sorted(endpoint.headers))
    if endpoint.sealed_headers is not None:
        fields["sealed_headers"].bytes_value = endpoint.sealed_headers
    if endpoint.description:
        fields["description"].string_value = endpoint.description
    if endpoint.disabled_by is not None:
        fields["disabled_by"].string_value = endpoint.disabled_by
    if endpoint.disabled_at is not None:
        set_time(fields, "disabled_at", endpoint.disabled_at)
    writes.set_replaces(fields, replaces)


def endpoint_of(id: str, fields: Message) -> Endpoint:
    """The endpoint in a document's fields."""
    by = read.optional_text(fields, "disabled_by")
    labels = read.optional_data(fields, "labels")
    return Endpoint(
        id=id,
        tenant=read.text(fields, "tenant"),
        url=read.text(fields, "url"),
        events=_texts(fields, "events"),
        secrets=_secrets_of(fields),
        created_at=read.time(fields, "created_at"),
        updated_at=read.time(fields, "updated_at"),
        labels={} if labels is None else orjson.loads(labels),
        headers=_texts(fields, "headers"),
        sealed_headers=read.optional_data(fields, "sealed_headers"),
        description=read.text(fields, "description"),
        status=EndpointStatus(read.text(fields, "status")),
        disabled_by=None if by is None else DisabledBy(by),
        disabled_at=read.optional_time(fields, "disabled_at"),
    )


class FirestoreEndpoints:
    """See `Endpoints`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._endpoints = database.collection("webhooks")
        self._tenants = database.collection("webhook_tenants")

    async def read(self, id: str) -> Stored[Endpoint] | None:
        found = await self._database.read(self._endpoints.name(id))
        return None if found is None else Stored(endpoint_of(id, found.document.fields), found.version, found.read_at)

    async def of_tenant(self, tenant: str, *, limit: int) -> Sequence[Endpoint]:
        return await self.page(tenant, after="", limit=limit)

    async def page(self, tenant: str, *, after: str, limit: int) -> Sequence[Endpoint]:
        query = _by_id(tenant, limit)
        if after:
            query.start_at.values.add().reference_value = self._endpoints.name(after)  # not `before` it: behind it
        found = await self._database.query(query)
        return [endpoint_of(self._endpoints.id(each.document.name), each.document.fields) for each in found]

    async def create(self, endpoint: Endpoint) -> WriteResult:
        request = CommitRequest()
        with ENCODING:
            set_endpoint(writes.create(request, self._endpoints.name(endpoint.id)), endpoint)
        return await self._commit(request, endpoint.tenant)

    async def replace(self, endpoint: Endpoint, held: Version) -> WriteResult:
        request = CommitRequest()
        with ENCODING:
            set_endpoint(writes.replace(request, self._endpoints.name(endpoint.id), held), endpoint, held)
        return await self._commit(request, endpoint.tenant)

    async def delete(self, endpoint: Endpoint, held: Version) -> WriteResult:
        request = CommitRequest()
        writes.delete(request, self._endpoints.name(endpoint.id), held)
        result = await self._commit(request, endpoint.tenant)
        return held if isinstance(result, Version) else result

    async def _commit(self, request: Message, tenant: str) -> WriteResult:
        mark = request.writes.add()
        mark.update.name = self._tenants.name(tenant)
        transform = mark.update_transforms.add()
        transform.field_path = "changed"
        transform.increment.integer_value = 1
        mark.update_mask.SetInParent()  # an empty mask: what else the document says stays
        return await self._database.commit(request.SerializeToString())


class FirestoreTenantHooks:
    """See `TenantHooksStore`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._tenants = database.collection("webhook_tenants")

    async def read(self, tenant: str) -> Stored[TenantHooks] | None:
        found = await self._database.read(self._tenants.name(tenant))
        if found is None:
            return None
        fields = found.document.fields
        hooks = TenantHooks(tenant, _secrets_of(fields), read.optional_time(fields, "secret_created_at"))
        return Stored(hooks, found.version, found.read_at)

    async def put_secrets(self, hooks: TenantHooks, held: Version | None) -> WriteResult:
        name = self._tenants.name(hooks.tenant)
        request = BatchWriteRequest()
        fields = writes.create(request, name) if held is None else writes.update(request, name, held, SECRET_FIELDS)
        with ENCODING:
            _set_secrets(fields, hooks.secrets)
            if hooks.secret_created_at is not None:
                set_time(fields, "secret_created_at", hooks.secret_created_at)
            writes.set_replaces(fields, held)
        return await self._database.write(name, request.SerializeToString())


class FirestoreHealths:
    """See `Healths`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._healths = database.collection("webhook_health")

    async def read(self, endpoint: str) -> Health | None:
        found = await self._database.read(self._healths.name(endpoint))
        if found is None:
            return None
        fields = found.document.fields
        return Health(
            endpoint,
            succeeded_at=read.optional_time(fields, "succeeded_at"),
            failing_since=read.optional_time(fields, "failing_since"),
            failures=read.integer(fields, "failures"),
            failed_at=read.optional_time(fields, "failed_at"),
        )

    async def put(self, health: Health) -> None:
        name = self._healths.name(health.endpoint)
        request = BatchWriteRequest()
        fields = writes.put(request, name)
        fields["failures"].integer_value = health.failures
        for field, at in (
            ("succeeded_at", health.succeeded_at),
            ("failing_since", health.failing_since),
            ("failed_at", health.failed_at),
        ):
            if at is not None:
                set_time(fields, field, at)
        await self._database.write(name, request.SerializeToString())


def _set_texts(fields: Message, name: str, texts: Iterable[str]) -> None:
    for text in texts:
        fields[name].array_value.values.add().string_value = text


def _texts(fields: Message, name: str) -> frozenset[str]:
    value = fields.get(name)
    return frozenset(() if value is None else (each.string_value for each in value.array_value.values))


def _set_secrets(fields: Message, secrets: Iterable[SealedSecret]) -> None:
    for secret in secrets:
        record = fields["secrets"].array_value.values.add().map_value.fields
        record["sealed"].bytes_value = secret.sealed
        if secret.until is not None:
            set_time(record, "until", secret.until)


def _secrets_of(fields: Message) -> tuple[SealedSecret, ...]:
    value = fields.get("secrets")
    records: Any = () if value is None else (each.map_value.fields for each in value.array_value.values)
    return tuple(
        SealedSecret(record["sealed"].bytes_value, time_of(record["until"]) if "until" in record else None)
        for record in records
    )


def _by_id(tenant: str, limit: int) -> Message:
    """The index that Firestore keeps of `tenant` by itself is in the order of ids within each tenant."""
    query = StructuredQuery()
    query.from_.add().collection_id = "webhooks"
    equal = query.where.field_filter
    equal.field.field_path = "tenant"
    equal.op = EQUAL
    equal.value.string_value = tenant
    order = query.order_by.add()
    order.field.field_path = "__name__"
    order.direction = ASCENDING
    query.limit.value = limit
    return query
