"""What `sluice-admin` reads from the environment: the same variables as the services, and fewer."""

from dataclasses import dataclass

from shared.config import Secret, setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    project: str = setting("sluice-local", why="Google Cloud project that holds topics and documents")
    prefix: str = setting("sluice", why="starts every topic's name")
    pubsub_emulator: str = setting("", env="PUBSUB_EMULATOR_HOST", why="host:port; empty for the real service")
    firestore_emulator: str = setting("", env="FIRESTORE_EMULATOR_HOST", why="host:port; empty for the real service")
    queues: tuple[str, ...] = setting((), why="the queues that must exist; empty takes those of the handlers")
    handlers: tuple[str, ...] = setting((), why="`package.module:name` of each Handlers, to know their queues")
    push_endpoint: str = setting(
        "",
        why="workers' address, {queue} for the queue: https://worker-{queue}-1234.europe-west1.run.app; empty: no push",
    )
    push_email: str = setting("", why="service account in whose name Pub/Sub signs its pushes")
    push_audience: str = setting("", why="for whom it signs, as workers have it; empty takes the address")
    push_queues: tuple[str, ...] = setting((), why="the queues that are pushed; empty: all")
    dev_keys: Secret = setting(Secret(""), why="development keys as tenant:sk_<id>_<secret>, comma-separated")
    redis_url: str = setting("redis://127.0.0.1:6379/0", env="REDIS_URL", why="the cache, for figures and wake-ups")
    id_keys: Secret = setting(Secret(""), why="as of the services; only jobs that no worker has claimed need them here")
    webhook_keys: Secret = setting(Secret(""), why="as of gateway and webhooks; only the doctor looks at them")
    retention_succeeded_seconds: int = setting(86_400, unit="seconds", why="as of the services: a cancel is a finish")
    retention_other_seconds: int = setting(604_800, unit="seconds", why="likewise")
    url: str = setting("", why="address of a gateway, such as https://sluice.example; for what goes through the API")
    api_key: Secret = setting(Secret(""), why="API key for that; its scope must be operator, or system for all tenants")
