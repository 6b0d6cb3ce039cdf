"""Where Pub/Sub pushes to: the address of each lane's endpoint, and the identity that its requests carry.

Used by `topics` (declaring subscriptions), `sluice-admin` and the scheduler (pointing them there), the worker (serving
the path) and the local bridge.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from shared.errors import ConfigError
from shared.models.job import Lane

PATH: Final = "/push/{queue}/{lane}"
"""Of a lane's endpoint on a worker: the lane is known, and its bound applies, before a body is read."""
REQUEST_SECONDS: Final = 600
"""The longest ack deadline, which is how long a push may wait for its answer. It cannot be extended as a pull's can."""


def path(queue: str, lane: Lane) -> str:
    """The path of a lane's endpoint."""
    return PATH.format(queue=queue, lane=lane)


@dataclass(frozen=True, slots=True)
class PushTarget:
    """Where one subscription's messages are posted to.

    service_account: e-mail of the account in whose name Pub/Sub signs a token for each request.
    audience: for whom the token is.
    """

    endpoint: str
    service_account: str
    audience: str


@dataclass(frozen=True, slots=True)
class Pulled:
    """The subscription pushes nowhere: its messages wait to be pulled, or for the queue to go on."""


@dataclass(frozen=True, slots=True)
class PushPlan:
    """The targets of all lanes.

    address: of the workers, `https://host`; `{queue}` in it stands for the queue's name.
    audience: likewise; empty takes the address.
    queues: those that are pushed; empty: all.
    """

    address: str
    service_account: str
    audience: str = ""
    queues: Collection[str] = ()

    def covers(self, queue: str) -> bool:
        """Whether the queue's messages are pushed."""
        return not self.queues or queue in self.queues

    def target(self, queue: str, lane: Lane) -> PushTarget:
        """Where the lane's messages go."""
        address = _filled(self.address, queue).rstrip("/")
        audience = _filled(self.audience, queue) or address
        return PushTarget(address + path(queue, lane), self.service_account, audience)


def push_plan(*, address: str, service_account: str, audience: str, queues: Collection[str]) -> PushPlan | None:
    """The plan that settings describe; None where nothing is pushed. Raises ConfigError for half of one."""
    if not address:
        return None
    if not service_account:
        raise ConfigError("SLUICE_PUSH_EMAIL is not set: unsigned pushes are refused by every worker")
    if urlsplit(_filled(address, "queue")).scheme not in {"https", "http"}:
        raise ConfigError("SLUICE_PUSH_ENDPOINT is not an https address")
    return PushPlan(address, service_account, audience, queues)


def _filled(template: str, queue: str) -> str:
    return template.replace("{queue}", queue)
