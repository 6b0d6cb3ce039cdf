"""The topology as data, for whatever is no Python: `sluice-admin topology show`, whose output Terraform reads.

`deploy/terraform/topology.json` is this for the example handlers, and `make check` compares the two. A deployment with
handlers of its own writes its own file. Nothing is declared here: it is `shared.messaging.topics`, spelt out.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from shared.messaging.topics import Names, Subscription, topology
from shared.models.job import Lane

EVENTS, JOBS, DEAD_LETTERS = "events", "jobs", "dead_letters"
SUBSCRIPTION_FIELDS: Final = tuple(name for name in Subscription.__dataclass_fields__ if name != "push")
"""Where messages are pushed is not among them: `topology apply` says it to the broker, and so does whoever pauses."""


def declaration(names: Names, queues: Iterable[str]) -> dict[str, Any]:
    """What must exist for `queues`. kind: of a topic, what rights are given by. reader: the service behind the dot."""
    wanted = sorted(set(queues))
    declared = topology(names, wanted)
    return {
        "prefix": names.prefix,
        "queues": wanted,
        "lanes": [str(lane) for lane in Lane],
        "topics": [{"name": topic, "kind": _kind(names, topic)} for topic in declared.topics],
        "subscriptions": [_policies(each) for each in declared.subscriptions],
    }


def _policies(subscription: Subscription) -> dict[str, Any]:
    fields = asdict(subscription)
    return {**{name: fields[name] for name in SUBSCRIPTION_FIELDS}, "reader": reader(subscription)}


def reader(subscription: Subscription) -> str:
    """The service that a subscription is for, from its name."""
    return subscription.name.removeprefix(f"{subscription.topic}.")


def _kind(names: Names, topic: str) -> str:
    if topic == names.events:
        return EVENTS
    return JOBS if names.is_jobs(topic) else DEAD_LETTERS
