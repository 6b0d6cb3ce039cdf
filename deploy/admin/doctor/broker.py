"""Pub/Sub: whether it answers, and whether topics and subscriptions are as the code declares them."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.pubsub_v1 import PublisherAsyncClient

from deploy.admin.doctor.finding import Finding, fault, fine, skipped
from deploy.admin.settings import Settings
from deploy.admin.topology import Change, Created, Misplaced, Updated, apply
from shared.errors import BrokerUnavailable, ConfigError
from shared.messaging.topics import Topology

ABOUT: Final = "Pub/Sub"
SECONDS: Final = 30.0


async def examine(settings: Settings, wanted: Topology) -> list[Finding]:
    emulator = settings.pubsub_emulator or None
    try:
        async with asyncio.timeout(SECONDS):
            changes = await apply(wanted, project=settings.project, emulator=emulator, dry_run=True)
    except (BrokerUnavailable, ConfigError, TimeoutError) as error:
        detail = str(error) or "no answer in time"
        return [fault(ABOUT, detail, "look at credentials, network, and the API pubsub.googleapis.com")]
    found = list(_topology(changes)) or [fine("topology", f"{len(wanted.topics)} topics are as declared")]
    rights = skipped("dead letters", "the emulator has no rights") if emulator else await _rights(settings, wanted)
    return [fine(ABOUT, "answers"), *found, rights]


def _topology(changes: Iterable[Change]) -> Iterator[Finding]:
    missing = [change.name for change in changes if isinstance(change, Created)]
    if missing:
        yield fault("topology", f"missing: {', '.join(missing)}", "sluice-admin topology apply")
    for change in changes:
        match change:
            case Updated(name, policies):
                yield fault("topology", f"{name} differs in {', '.join(policies)}", "sluice-admin topology apply")
            case Misplaced(name, topic):
                yield fault(
                    "topology",
                    f"{name} is on {topic}, from which nobody expects anything",
                    "let it run empty, delete it, and sluice-admin topology apply",
                )


async def _rights(settings: Settings, wanted: Topology) -> Finding:
    """Whether anybody but us may publish dead letters: Pub/Sub's own agent must, or it silently never does."""
    topics = {each.dead_letter_topic for each in wanted.subscriptions if each.dead_letter_topic}
    client = PublisherAsyncClient()
    try:
        policies = [await _policy(client, f"projects/{settings.project}/topics/{topic}") for topic in sorted(topics)]
    except (GoogleAPICallError, RetryError) as error:
        return skipped("dead letters", f"their rights cannot be read ({type(error).__name__})")
    finally:
        await client.transport.close()
    bad = [topic for topic, policy in zip(sorted(topics), policies, strict=True) if not _agent_publishes(policy)]
    if bad:
        return fault(
            "dead letters",
            f"Pub/Sub's agent may not publish to {', '.join(bad)}",
            "grant it roles/pubsub.publisher there and roles/pubsub.subscriber on the subscriptions (terraform apply)",
        )
    return fine("dead letters", f"{len(topics)} topics take them")


async def _policy(client: Any, topic: str) -> Any:
    return await client.get_iam_policy(request={"resource": topic}, timeout=SECONDS)


def _agent_publishes(policy: Any) -> bool:
    return any(
        binding.role == "roles/pubsub.publisher"
        and any(member.endswith("@gcp-sa-pubsub.iam.gserviceaccount.com") for member in binding.members)
        for binding in policy.bindings
    )
