"""The process that outlives the runner for a moment, to end what the runner left behind. Started by `guard.Guard`.

It reads lines from its standard input, which is a pipe that only the runner (and, until it has become its program, each
child) holds open. When the pipe closes, however the runner ended, it kills every process group and removes every
container that is still registered. Groups, because a service's own children would survive the death of their parent.

Run as a script on the bare interpreter, so it imports the standard library alone.

    + group 4711        - group 4711        + container sluice-redis-23110        - container sluice-redis-23110
"""

import contextlib
import os
import signal
import subprocess
import sys


def _kill(kind: str, name: str) -> None:
    if kind == "group":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(name), signal.SIGKILL)
    elif kind == "container":
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True, timeout=60)


def main() -> None:
    """Keep the register until the pipe closes, then end whatever is still in it."""
    for asked in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked, signal.SIG_IGN)  # only the pipe decides, else one stray signal would disarm the guard
    registered: dict[tuple[str, str], None] = {}
    for line in sys.stdin:
        sign, kind, name = line.split()
        if sign == "+":
            registered[kind, name] = None
        else:
            registered.pop((kind, name), None)
    for kind, name in registered:
        _kill(kind, name)


if __name__ == "__main__":
    main()
