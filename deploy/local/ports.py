"""Chooses TCP ports on this machine. Used for every backend, admin endpoint and, in tests, for the gateway.

Ports are taken below the range from which the kernel gives source ports to outgoing connections: a load test opens
tens of thousands of these, and one of them would otherwise sit on the port of a backend that is being restarted.
"""

import atexit
import errno
import random
import socket
import sys
from typing import Final

from deploy.local.errors import PortTakenError

LOOPBACK: Final = "127.0.0.1"
# IANA's user ports start at 1024; Linux gives source ports from 32768 on, macOS and Windows from 49152 on.
FIRST: Final = 12_000
LAST: Final = 32_000
TRIES: Final = 200
_handed_out: Final[dict[int, socket.socket | None]] = {}  # by this process: who asked may not listen there yet


@atexit.register
def _release_all() -> None:
    while _handed_out:
        _, name = _handed_out.popitem()
        if name is not None:
            name.close()


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `port` of `host` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without it, connections in TIME_WAIT from an earlier run would make a free port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def choose_port(rng: random.Random | None = None) -> int:
    """A port that nobody listens on at this moment, and that this function has not returned before.

    Raises PortTakenError when `TRIES` random picks were all taken.
    """
    pick = rng or random.SystemRandom()
    for _ in range(TRIES):
        port = pick.randint(FIRST, LAST)
        if port not in _handed_out and is_free(port) and _reserve(port):
            return port
    raise PortTakenError(f"No free port was found between {FIRST} and {LAST} on {LOOPBACK}.")


def _reserve(port: int) -> bool:
    """Keep the port from other processes that choose, for as long as this one lives: systems start side by side.

    By a name in Linux's abstract namespace, which ends with its process; elsewhere luck has to do.
    """
    name = None
    if sys.platform == "linux":
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0sluice-port-{port}")
        except OSError:
            name.close()
            return False
    _handed_out[port] = name
    return True


def claim_gateway_port(port: int, host: str = LOOPBACK) -> None:
    """Raises PortTakenError when something listens on `port` already.

    Needed because the gateway's processes share their port: one of them would join a stranger's without an error.
    """
    if not is_free(port, host):
        raise PortTakenError(
            f"Port {port} on {host} is taken by another program.\n"
            f"Stop that program, or choose another port:  SLUICE_PORT={port + 1} make run"
        )
