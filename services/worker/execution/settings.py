"""How the engine runs handlers. The worker's own settings fill this in, so nothing here reads the environment."""

import math
from dataclasses import dataclass

KIB = 1_024

WITHHELD = frozenset(
    {
        "SLUICE_ID_KEYS",
        "REDIS_URL",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    }
)
"""Variables that hold secrets of the service, which handlers must not see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSettings:
    handlers: tuple[str, ...]
    """`module:name` of each `Handlers` object to load."""
    loop_slots: int = 200
    """`loop` handlers at once. They wait more than they compute; one runner holds thousands, its inputs and outputs
    bound its memory."""
    thread_slots: int = 16
    """`thread` handlers at once: a thread each."""
    solo_slots: int = 2
    """Processes for `process` handlers and for jobs that run alone: one a core, for that is what they use up."""
    waiting: int = 1_000
    """Tasks that may wait for a slot of each kind; beyond, `Overloaded`. The worker asks for no more than there are
    slots, so this is met only when many tasks of a killed runner must run alone."""
    longest_seconds: float = math.inf
    """Attempts that may take longer are refused: what a push can wait for, where messages are pushed."""
    input_bytes: int = 256 * KIB
    output_bytes: int = 512 * KIB
    memory_bytes: int = 0
    """Address space of each runner (RLIMIT_AS), 0 for no limit. Threads and mapped files count, so it is far above what
    a process uses: 2 GiB is a small one."""
    grace_seconds: float = 2.0
    """What a `loop` or `thread` handler has to stop, once told. Below the 5 s within which a cancel must be felt."""
    start_seconds: float = 120.0
    """From a runner's start to its catalogue: the import of the handlers' modules, which may be large."""
    ping_seconds: float = 1.0
    """How often the shared runner must show that its loop turns."""
    unanswered_pings: int = 5
    """After so many in a row it is killed. Authors block a loop for a second by accident; five is a fault."""
    abandoned: int = 8
    """Timed-out handlers that would not stop, in threads or in the loop, after which the shared runner is replaced."""
    withheld: frozenset[str] = WITHHELD
    """Variables that runners do not inherit."""
    instance: str = ""
    """Names this worker in the lines that runners log."""
    log_level: str = "INFO"
    """Of the runners' own lines and of the handlers' loggers."""

    @property
    def frame_bytes(self) -> int:
        """The largest message between worker and runner: input or output, and room for what stands around it."""
        return max(self.input_bytes, self.output_bytes) + 256 * KIB
