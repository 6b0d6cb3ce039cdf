"""Runs the slow functions: claim → run → finish → tell → acknowledge, each step safe to repeat."""

import os

# Starting a runner forks, and gRPC's own handlers around a fork abort the child while calls are under way. It reads
# this when it is imported, so it is said before anything of the worker is. Runners do not use gRPC.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
