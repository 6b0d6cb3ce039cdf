"""What can be set on a scheduler."""

from dataclasses import dataclass

from shared.config import ServiceSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    poll_seconds: float = setting(0.4, unit="seconds", why="between sweeps for timers while some fall due")
    awake_seconds: float = setting(30.0, unit="seconds", why="after the last timer until nothing is swept any more")
    idle_poll_seconds: float = setting(
        0.9, unit="seconds", why="between looks then; a timer written to be due at once may be late by so much"
    )
    wake_seconds: float = setting(3.0, unit="seconds", why="a timer that is due so soon has sweeps begin again")
    horizon_seconds: float = setting(0.8, unit="seconds", why="timers due so soon are taken along and held until then")
    page: int = setting(2_500, unit="timers", why="taken from a part of the shards at once")
    most_taken: int = setting(10_000, unit="timers", why="held at once; a few pages more may come on top")
    taken_bytes: int = setting(64 * 1024 * 1024, unit="bytes", why="of messages held at once, likewise")
    shard_lease_seconds: int = setting(
        6, unit="seconds", why="a scheduler that was silent for so long has lost its part of the timers to the others"
    )
    publish_seconds: float = setting(5.0, unit="seconds", why="for one publish, retries included")
    cache_seconds: float = setting(1.0, unit="seconds", why="for telling Redis what was released; only figures need it")
    push_endpoint: str = setting(
        "",
        why="workers' address as for `topology apply`, to pause and resume push; empty: nothing is pushed",
    )
    push_email: str = setting("", why="service account in whose name Pub/Sub signs its pushes")
    push_audience: str = setting("", why="for whom it signs, as workers have it; empty takes the address")
    push_queues: tuple[str, ...] = setting((), why="the queues that are pushed; empty: all")
    controls_seconds: float = setting(2.0, unit="seconds", why="between looks at which queues operators have paused")
    figures_seconds: float = setting(10.0, unit="seconds", why="between looks at what waits in each queue, for metrics")
