"""What can be set on a gateway."""

from dataclasses import dataclass

from shared.config import Secret, ServiceSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    host: str = setting("127.0.0.1", why="address of the API; 0.0.0.0 in containers")
    port: int = setting(8080, why="port of the API; several processes may share it")
    linger_seconds: float = setting(
        0.0, unit="seconds", why="told to end, not ready and still taking requests: until a proxy that asks has noticed"
    )
    max_body_bytes: int = setting(256 * 1024, unit="bytes", why="body of a job; larger inputs belong in a bucket")
    body_seconds: float = setting(30.0, unit="seconds", why="to send a body; slow senders must not hold memory")
    head_seconds: float = setting(
        10.0, unit="seconds", why="to send a request's line and headers; slow ones are closed"
    )
    requests_per_second: int = setting(1_000, unit="requests", why="of one key, over all gateways, unless the key says")
    request_burst: int = setting(2_000, unit="requests", why="that a key may have saved up")
    publish_seconds: float = setting(
        5.0, unit="seconds", why="for the broker to acknowledge; past it the answer is 503"
    )
    store_seconds: float = setting(2.0, unit="seconds", why="for one read of the store on a request's path")
    cache_seconds: float = setting(1.0, unit="seconds", why="for one round trip to Redis; past it the store answers")
    webhook_keys: Secret = setting(
        Secret(""), why="seals webhook secrets at rest: version:hex of 32 bytes, comma-separated; required to run"
    )
    webhooks_allow_local: bool = setting(
        False, why="let webhooks have http and loopback addresses under localhost: local runs only"
    )
    max_held: int = setting(16_000, unit="requests", why="held requests of one process: 10 KiB each")
    recheck_seconds: float = setting(12.0, unit="seconds", why="a waiter that hears nothing looks again about so often")
    finished_bytes: int = setting(64 * 1024 * 1024, unit="bytes", why="memory for finished jobs, which never change")
    run_times_seconds: float = setting(30.0, unit="seconds", why="between looks at how long handlers have taken lately")
    catalogue_seconds: float = setting(5.0, unit="seconds", why="between looks at what handlers workers announce")
    expires_in_seconds: int = setting(86_400, unit="seconds", why="how long a job may wait and run, unless it says so")
    max_batch_bytes: int = setting(
        8 * 1024 * 1024, unit="bytes", why="JSON of a batch, which is read whole; lines (NDJSON) have no such bound"
    )
    max_line_bytes: int = setting(64 * 1024, unit="bytes", why="an input of a batch; larger ones belong in a bucket")
    max_batch_items: int = setting(100_000, unit="items", why="of one batch; its document holds a few bits for each")
    silence_seconds: float = setting(
        30.0, unit="seconds", why="without a byte of an upload; one that hangs must not hold its place"
    )
    upload_seconds: float = setting(
        3_600.0, unit="seconds", why="for a whole upload; one that drips must not hold its place for ever"
    )
    max_uploads: int = setting(32, unit="requests", why="batches being uploaded to one process: about 8 MB each")
    max_uploads_per_key: int = setting(8, unit="requests", why="of them with one key, so that one client leaves room")
    chunks_in_flight: int = setting(
        8, unit="chunks", why="of 1,000 items, at the broker at once over all uploads; jobs must find room beside them"
    )
    erase_seconds: float = setting(
        20.0, unit="seconds", why="of one request to delete a batch; what is left then is asked for again"
    )
