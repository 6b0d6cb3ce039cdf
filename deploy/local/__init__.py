"""Starts the whole of Sluice on one machine: the emulators, Redis, the topology, the keys and every service.

`make run` uses it through `__main__`; the acceptance, chaos and load tests use `backends.Backends` and
`system.System` directly, so that what the tests exercise is what a newcomer starts.
"""

import os

# Where somebody forks after all (`shared.child` does not), gRPC's own handlers abort the child where the parent has
# calls under way, as tests do. It reads this when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
