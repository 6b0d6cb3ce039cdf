"""What can be set on a webhooks service."""

from dataclasses import dataclass

from shared.config import Secret, ServiceSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    webhook_keys: Secret = setting(why="seals webhook secrets at rest: version:hex of 32 bytes, comma-separated")
    webhooks_allow_local: bool = setting(
        False, why="let http and loopback targets through for names under localhost: local runs only"
    )
    webhooks_dns: str = setting("", why="host:port of the only DNS server to ask; empty: the machine's own")
    public_url: str = setting("", why="where the API is reached, before the paths in messages; empty: paths alone")
    slots: int = setting(512, unit="requests", why="at once, over all endpoints: a socket and about 50 KiB each")
    slow_share: float = setting(0.25, why="of the slots, for endpoints that time out or never answered yet, 0 to 1")
    endpoint_slots: int = setting(10, unit="requests", why="at once, to one endpoint")
    endpoint_rate: float = setting(25.0, unit="requests a second", why="to one endpoint")
    endpoint_burst: int = setting(50, unit="requests", why="that an endpoint may have saved up")
    endpoint_backlog: int = setting(100, unit="deliveries", why="of one endpoint in memory; more wait in the store")
    backlog: int = setting(5_000, unit="deliveries", why="in memory, over all endpoints: up to 20 KB each")
    events: int = setting(256, unit="events", why="taken from the topic at once")
    recover_rate: float = setting(
        5.0, unit="deliveries a second", why="of one endpoint, when it asks for what it missed"
    )
    dns_seconds: float = setting(3.0, unit="seconds", why="to resolve a name")
    connect_seconds: float = setting(5.0, unit="seconds", why="to connect, TLS included")
    total_seconds: float = setting(15.0, unit="seconds", why="for a whole attempt, from the slot to the answer's end")
    claim_seconds: float = setting(
        30.0, unit="seconds", why="how long a delivery stays with who took it; longer than an attempt and its writes"
    )
    poll_seconds: float = setting(0.5, unit="seconds", why="between looks at what is due in the store, at least")
    endpoint_seconds: float = setting(
        2.0, unit="seconds", why="that an endpoint's settings may be old when it is called"
    )
    shard_lease_seconds: int = setting(
        6, unit="seconds", why="an instance that was silent for so long has lost its endpoints to the others"
    )
    publish_seconds: float = setting(5.0, unit="seconds", why="for one publish, retries included")
