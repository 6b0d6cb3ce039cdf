"""What can be set on an aggregator."""

from dataclasses import dataclass

from shared.config import ServiceSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    events: int = setting(
        20_000, unit="events", why="held at once: those of a few seconds, as they wait for their window's write"
    )
    pulls: int = setting(16, unit="requests", why="for events at a time; each brings up to 1,000")
    gather_seconds: float = setting(
        0.1, unit="seconds", why="for which a window gathers what is told of a batch before it is written"
    )
    spacing_seconds: float = setting(
        1.0, unit="seconds", why="between two writes of a batch, at least; longer while other instances write it too"
    )
    statistics_seconds: float = setting(2.0, unit="seconds", why="between two writes of a document of statistics")
    writes: int = setting(64, unit="batches", why="written at once")
    settling: int = setting(4, unit="batches", why="whose missing items are looked for at once")
    silence_seconds: float = setting(
        60.0, unit="seconds", why="without news of an unfinished batch, before its items are looked at"
    )
    publish_seconds: float = setting(5.0, unit="seconds", why="for one publish, retries included")
    cache_seconds: float = setting(
        1.0, unit="seconds", why="for one round trip to Redis; waiters look again without it"
    )
    minutes_kept_hours: int = setting(
        6, unit="hours", why="for which statistics are kept by the minute; after that they are summed up by the hour"
    )
    hours_kept_days: int = setting(90, unit="days", why="for which statistics are kept by the hour")
    roll_up_seconds: float = setting(300.0, unit="seconds", why="between looks for minutes that are to be summed up")
