"""The job queues that a Python team picks from, on Redis: one module each, used as its documentation shows.

Each module has `opened`, by which the front (`fastapi_queue`) gets a `contract.Queue`, and what the queue's own command
line needs to run a worker (`rivals.QUEUES`). The one handler is Sluice's no-op: it gives its input back. Where a worker
bounds what it runs side by side, all have the same bound.
"""
