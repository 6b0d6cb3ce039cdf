"""The bounds of one database client: time, calls in flight, and how much may wait."""

from dataclasses import dataclass

MAX_WRITES: int = 500
"""In one request; more are refused."""
MAX_REQUEST_BYTES: int = 3_000_000
"""The service takes 10 MiB, the emulator 4 MiB."""
MAX_READS: int = 200
"""In one request. The reply is a stream, so what counts is how long the last must wait for the first."""


@dataclass(frozen=True, slots=True)
class Limits:
    deadline_seconds: float = 5.0
    """For one operation, its wait in our queue and its retries included."""
    writes_in_flight: int = 2
    """BatchWrite requests at once. More make each smaller, which costs CPU on both sides and gains nothing."""
    reads_in_flight: int = 2
    """BatchGetDocuments requests at once."""
    commits_in_flight: int = 32
    """Atomic commits at once, which are not grouped. HTTP/2 servers allow about 100 requests on a connection."""
    queries_in_flight: int = 16
    max_pending_writes: int = 10_000
    max_pending_write_bytes: int = 64 * 1024 * 1024
    max_pending_reads: int = 20_000
    max_pending_commits: int = 2_000
    max_pending_queries: int = 1_000
