"""Firestore: whether it answers, whether its clock is ours, and whether it has the indexes and the expiry it needs."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud import firestore_admin_v1

from deploy.admin.doctor.finding import Finding, fault, fine, skipped, warning
from deploy.admin.settings import Settings
from shared.clock import MILLISECONDS, Clock
from shared.errors import Overloaded, StoreUnavailable
from shared.storage.firestore import FirestoreDatabase
from shared.storage.firestore.protobuf import StructuredQuery

ABOUT: Final = "Firestore"
INDEXES: Final = Path(__file__).resolve().parents[2] / "firestore.indexes.json"
MAX_CLOCK_SECONDS: Final = 5.0
"""Leases do not mind; lifetimes and due times do."""
ADMIN_SECONDS: Final = 30.0

Index = tuple[str, tuple[tuple[str, str], ...]]


async def examine(settings: Settings, database: FirestoreDatabase, clock: Clock) -> list[Finding]:
    try:
        await database.ping()
    except (StoreUnavailable, Overloaded) as error:
        return [fault(ABOUT, str(error), "look at credentials, network, and the API firestore.googleapis.com")]
    clocks = await _clock(database, clock)
    if settings.firestore_emulator:
        return [fine(ABOUT, "answers"), clocks, skipped("indexes", "the emulator needs none and knows no expiry")]
    return [fine(ABOUT, "answers"), clocks, *await asyncio.to_thread(_administered, settings.project)]


async def _clock(database: FirestoreDatabase, clock: Clock) -> Finding:
    """Of the store, from the time that it gives to the read of one document."""
    query = StructuredQuery()
    query.from_.add().collection_id = "handlers"
    query.limit.value = 1
    before = clock.now()
    found = await database.query(query)
    if not found:
        return skipped("clock", "there is no document to read the store's time from")
    seconds = (found[0].read_at / MILLISECONDS - (before + clock.now()) / 2) / MILLISECONDS
    if abs(seconds) > MAX_CLOCK_SECONDS:
        return warning("clock", f"this machine's is {-seconds:+.1f} s from the store's", "synchronise it (NTP)")
    return fine("clock", f"{abs(seconds):.1f} s from the store's")


def _administered(project: str) -> list[Finding]:
    declared = json.loads(INDEXES.read_text())
    client = firestore_admin_v1.FirestoreAdminClient()
    parent = f"projects/{project}/databases/(default)/collectionGroups"
    try:
        indexes = client.list_indexes(parent=f"{parent}/-", timeout=ADMIN_SECONDS)
        there = {index_of(each.name, each.fields): each.state.name for each in indexes}
        fields = client.list_fields(request={"parent": f"{parent}/-", "filter": "ttlConfig:*"}, timeout=ADMIN_SECONDS)
        expiring = {(each.name.split("/")[5], each.name.split("/")[7]) for each in fields}
    except (GoogleAPICallError, RetryError) as error:
        return [skipped("indexes", f"cannot be read ({type(error).__name__})")]
    return [missing_indexes(declared["indexes"], there), missing_expiry(declared["fieldOverrides"], expiring)]


def index_of(name: str, fields: Iterable[Any]) -> Index:
    """An index as the service describes it, without the `__name__` that it adds."""
    parts = [(f.field_path, f.array_config.name if f.array_config else f.order.name) for f in fields]
    return name.split("/")[5], tuple(part for part in parts if part[0] != "__name__")


def missing_indexes(declared: Iterable[dict[str, Any]], there: dict[Index, str]) -> Finding:
    wanted: set[Index] = {
        (each["collectionGroup"], tuple((f["fieldPath"], f.get("order") or f["arrayConfig"]) for f in each["fields"]))
        for each in declared
    }
    bad = sorted(_named(index) for index in wanted if there.get(index) != "READY")
    if bad:
        return fault("indexes", f"missing or not ready: {'; '.join(bad)}", "terraform apply, then wait for them")
    return fine("indexes", f"{len(wanted)} are ready")


def _named(index: Index) -> str:
    return f"{index[0]} ({', '.join(field for field, _ in index[1])})"


def missing_expiry(declared: Iterable[dict[str, Any]], there: set[tuple[str, str]]) -> Finding:
    wanted = {(each["collectionGroup"], each["fieldPath"]) for each in declared if each.get("ttl")}
    bad = sorted(f"{collection}.{field}" for collection, field in wanted - there)
    if bad:
        return fault("expiry", f"no TTL on {', '.join(bad)}: documents pile up", "terraform apply")
    return fine("expiry", f"{len(wanted)} collections")
