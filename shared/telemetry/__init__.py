"""What operators see: one JSON line a unit of work, traces that follow a job through its message, metrics."""
