"""The part of the composition root that builds the routes of webhooks on the adapters of `app`."""

import os

from services.gateway.http.paging import Cursors
from services.gateway.jobs.hooks import JobHooks
from services.gateway.routes import WebhookEndpoints
from services.gateway.settings import Settings
from services.gateway.webhooks.acts import WebhookActs
from services.gateway.webhooks.deliveries import DeliveryRoutes
from services.gateway.webhooks.endpoints import EndpointStore, WebhookRoutes
from shared.clock import Clock
from shared.egress import Rules
from shared.ids import IdKeys, Ids
from shared.messaging.contract import Publisher
from shared.messaging.topics import Names
from shared.sealing import Sealer
from shared.storage.firestore import FirestoreDatabase, FirestoreDeliveries, FirestoreEndpoints, FirestoreTenantHooks


def job_hooks(settings: Settings, database: FirestoreDatabase, clock: Clock) -> JobHooks:
    return JobHooks(FirestoreTenantHooks(database), Rules(local=settings.webhooks_allow_local), clock)


def webhook_endpoints(
    settings: Settings, database: FirestoreDatabase, publisher: Publisher, keys: IdKeys, clock: Clock
) -> WebhookEndpoints:
    """Raises ConfigError where nothing is set to seal secrets with."""
    store = EndpointStore(
        endpoints=FirestoreEndpoints(database),
        ids=Ids(keys),
        sealer=Sealer.parse(settings.webhook_keys.reveal()),
        rules=Rules(local=settings.webhooks_allow_local),
        clock=clock,
        entropy=os.urandom,
    )
    cursors = Cursors(keys)
    acts = WebhookActs(
        store=store,
        tenants=FirestoreTenantHooks(database),
        publisher=publisher,
        topic=Names(settings.prefix).events,
        publish_seconds=settings.publish_seconds,
    )
    return WebhookEndpoints(
        WebhookRoutes(store, cursors), acts, DeliveryRoutes(store, FirestoreDeliveries(database), cursors)
    )
