"""What a runner is told at its start, as the one argument of its program. Written by `process`, read by `runner`."""

from dataclasses import asdict, dataclass
from typing import Literal, Self

import orjson

from services.worker.execution.settings import ExecutionSettings

Kind = Literal["shared", "solo"]


@dataclass(frozen=True, slots=True)
class Setup:
    kind: Kind
    """For whoever reads the list of processes; a runner behaves the same."""
    worker_pid: int
    socket_fd: int
    mark_fd: int
    """-1: there is no mark."""
    handlers: tuple[str, ...]
    threads: int
    output_bytes: int
    frame_bytes: int
    memory_bytes: int
    instance: str
    log_level: str

    @classmethod
    def of(cls, settings: ExecutionSettings, kind: Kind, *, worker_pid: int, socket_fd: int, mark_fd: int) -> Self:
        return cls(
            kind=kind,
            worker_pid=worker_pid,
            socket_fd=socket_fd,
            mark_fd=mark_fd,
            handlers=settings.handlers,
            # Threads that were given up keep theirs until the runner is replaced, which happens at half of this.
            threads=settings.thread_slots + 2 * settings.abandoned if kind == "shared" else 1,
            output_bytes=settings.output_bytes,
            frame_bytes=settings.frame_bytes,
            memory_bytes=settings.memory_bytes,
            instance=settings.instance,
            log_level=settings.log_level,
        )

    def argument(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def parse(cls, argument: str) -> Self:
        fields = orjson.loads(argument)
        return cls(**{**fields, "handlers": tuple(fields["handlers"])})
