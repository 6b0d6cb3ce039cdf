"""What can be set on a scheduler."""

from dataclasses import dataclass

from shared.config import ServiceSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    poll_seconds: float = setting(
        0.5, unit="seconds", why="between looks at a shard; a timer written since waits so long"
    )
    horizon_seconds: float = setting(1.5, unit="seconds", why="timers due so soon are taken along and held until then")
    page: int = setting(500, unit="timers", why="taken from a shard at once")
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
