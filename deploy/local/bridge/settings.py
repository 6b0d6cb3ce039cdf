"""What can be set on a bridge. `deploy.local.system` sets it."""

from dataclasses import dataclass

from shared.config import ServiceSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    handlers: tuple[str, ...] = setting(why="`package.module:name` of each Handlers, to know their queues")
    bridge_port: int = setting(why="where the keys that verify its signatures can be had")
    bridge_to: str = setting(why="address of the workers, which share a port")
    bridge_concurrency: int = setting(256, unit="messages", why="of a lane on their way at once, when all goes well")
    push_audience: str = setting(why="for whom tokens are signed")
    push_emails: tuple[str, ...] = setting(why="in whose name; the first counts")
    push_issuers: tuple[str, ...] = setting(why="as whom; the first counts")
    controls_seconds: float = setting(1.0, unit="seconds", why="between looks at which queues operators have paused")
