"""How a system on push is set: where the workers listen, where the bridge shows its keys, and what tokens must say.

Workers are told no less than in a deployment, only of another issuer. The subscriptions stay without an endpoint: the
emulator would push as well, unsigned.
"""

from dataclasses import dataclass
from typing import Final, Self

from deploy.local.bridge.issuer import KEYS_PATH
from deploy.local.ports import LOOPBACK, choose_port

NOT_PUSHED: Final = {"SLUICE_PUSH": "0", "SLUICE_PUSH_ENDPOINT": ""}
"""Whatever the environment of `make run` says of deployments."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """worker_port: shared by the workers. bridge_port: of the keys."""

    worker_port: int
    bridge_port: int

    @classmethod
    def choose(cls) -> Self:
        """On free ports."""
        return cls(choose_port(), choose_port())

    @property
    def address(self) -> str:
        """Of the workers; also the audience of tokens."""
        return f"http://{LOOPBACK}:{self.worker_port}"

    def environ(self) -> dict[str, str]:
        """What services get to know."""
        issuer = f"http://{LOOPBACK}:{self.bridge_port}"
        return {
            "SLUICE_PUSH": "1",
            "SLUICE_PUSH_ENDPOINT": "",
            "SLUICE_PUSH_HOST": LOOPBACK,
            "SLUICE_PUSH_PORT": str(self.worker_port),
            "SLUICE_PUSH_AUDIENCE": self.address,
            "SLUICE_PUSH_EMAILS": "bridge@sluice-local.invalid",
            "SLUICE_PUSH_ISSUERS": issuer,
            "SLUICE_PUSH_KEYS_URL": issuer + KEYS_PATH,
            "SLUICE_BRIDGE_PORT": str(self.bridge_port),
            "SLUICE_BRIDGE_TO": self.address,
        }
