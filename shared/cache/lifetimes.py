"""How long, and how much of it, Redis keeps of what `contract` lists. Read by both caches and by who relies on it."""

from shared.models.public import Snapshot

TERMINAL_TTL_SECONDS = 3_600
LIVE_TTL_SECONDS = 10
UNATTEMPTED_TTL_SECONDS = 60
"""Of a job that no worker has begun, from when it was accepted or last looked at by who waits: as long as a wait."""
WATCH_TTL_SECONDS = 120
"""Longer than the longest wait and its re-check."""
UNCONFIRMED_TTL_SECONDS = 60
"""Of a flight whose publish nobody has reported: well beyond the deadline of a publish."""
REPLAY_TTL_SECONDS = 3_600
STREAM_TTL_SECONDS = 3_600
STREAM_REPORTS = 1_024
STREAM_BYTES = 4 * 1_024 * 1_024
"""Of the reports in one stream: the oldest go."""
FOLLOW_TTL_SECONDS = 120
RECENT_TTL_SECONDS = 3_600
RECENT_JOBS = 1_000


def seconds_to_keep(snapshot: Snapshot) -> int:
    if snapshot.terminal:
        return TERMINAL_TTL_SECONDS
    return UNATTEMPTED_TTL_SECONDS if snapshot.unattempted else LIVE_TTL_SECONDS
