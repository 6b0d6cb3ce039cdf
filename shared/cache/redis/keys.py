"""The names of the keys of one job, which several modules share. They have the hash tag `{id}` in common."""


def job_key(id: str) -> str:
    """Of the snapshot."""
    return f"job:{{{id}}}"


def watch_key(id: str) -> str:
    """Of the gateways that have waiters."""
    return f"watch:{{{id}}}"


def stream_key(id: str) -> str:
    """Of the reports."""
    return f"stream:{{{id}}}"


def progress_key(id: str) -> str:
    """Of the newest progress."""
    return f"progress:{{{id}}}"


def follow_key(id: str) -> str:
    """Of the gateways that have followers of the stream."""
    return f"follow:{{{id}}}"
