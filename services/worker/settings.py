"""What can be set on a worker."""

from dataclasses import dataclass

from shared.config import ServiceSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    handlers: tuple[str, ...] = setting(why="what to run: `package.module:name` of each Handlers, comma-separated")
    queues: tuple[str, ...] = setting((), why="serve only these queues; empty serves every queue of the handlers")
    concurrency: int = setting(200, unit="jobs", why="of `run_in=loop` handlers at once: they wait more than they work")
    threads: int = setting(16, unit="jobs", why="of `run_in=thread` handlers at once")
    processes: int = setting(2, unit="jobs", why="of `run_in=process` handlers at once: about one a core")
    memory_bytes: int = setting(0, unit="bytes", why="address space of each process that runs handlers; 0: no limit")
    pulls: int = setting(4, unit="requests", why="for messages of a lane at a time, of which one hears of a job sooner")
    controls_seconds: float = setting(2.0, unit="seconds", why="between looks at which queues operators have paused")
    lease_seconds: int = setting(15, unit="seconds", why="a claim lapses when it was not renewed for so long")
    cache_seconds: float = setting(1.0, unit="seconds", why="for one round trip to Redis; past it waiters look again")
    publish_seconds: float = setting(5.0, unit="seconds", why="for one publish, retries included")
    max_output_bytes: int = setting(512 * 1024, unit="bytes", why="beyond it the job fails as output_too_large")
    retry_base_seconds: float = setting(1.0, unit="seconds", why="the first retry waits up to so long, doubling")
    retry_cap_seconds: float = setting(600.0, unit="seconds", why="no retry waits longer, unless its handler says so")
    push: bool = setting(False, why="take messages by HTTP, as Pub/Sub pushes them, instead of pulling; for Cloud Run")
    push_host: str = setting("127.0.0.1", why="address that pushes come to; 0.0.0.0 in containers")
    push_port: int = setting(8080, why="port that pushes come to; processes of one machine may share it")
    push_audience: str = setting("", why="for whom the tokens of pushes must be; push refuses to start without")
    push_emails: tuple[str, ...] = setting((), why="accounts that may push; push refuses to start without")
    push_issuers: tuple[str, ...] = setting(
        ("https://accounts.google.com", "accounts.google.com"), why="who may sign the tokens of pushes"
    )
    push_keys_url: str = setting(
        "https://www.googleapis.com/oauth2/v3/certs", why="the issuer's JSON Web Key Set; https, or on this machine"
    )
    push_job_seconds: float = setting(
        540.0, unit="seconds", why="longest attempt when pushed: a push waits 600 s for its answer, all told"
    )
