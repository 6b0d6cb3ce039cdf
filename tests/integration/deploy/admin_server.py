"""Starts `sluice-admin` over and over without importing it anew: it is loaded here, and forked for each command.

What runs is `python -m deploy.admin` from its first line to the interpreter's end, in a process of its own with the
environment, streams and status of its own; only what it imports is there already: most of what a command costs.
Nothing is connected and no thread started before a fork, which is looked at. Run and spoken to by `admin_process`.

A connection is a command: a line of JSON, with descriptors of its standard streams; the answer is its exit status.
"""

import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import deploy.admin.cli  # noqa: F401  (what this process is for)

MODULE = "deploy.admin"
REQUEST_BYTES = 1 << 20
STREAMS = (0, 1, 2)
SECONDS = 60


def serve(listening: socket.socket, owner: int) -> dict[str, Any]:
    """Return in the process of each command, with what was asked for; never in this one, which ends with its owner."""
    while True:
        readable, _, _ = select.select([listening.fileno(), owner], [], [])
        if owner in readable:
            os._exit(0)
        connection, _ = listening.accept()
        with connection:
            alone()
            if os.fork() == 0:
                listening.close()
                return attended(connection)


def alone() -> None:
    """What has threads must not fork."""
    threads = len(list(Path("/proc/self/task").glob("*"))) if sys.platform == "linux" else 1
    assert threads == 1, f"{MODULE} starts threads when it is imported"


def attended(connection: socket.socket) -> dict[str, Any]:
    """Wait beside the command for its end, and tell it. Returns in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    first, streams, _, _ = socket.recv_fds(connection, REQUEST_BYTES, len(STREAMS))
    with connection.makefile("rb") as rest:
        asked: dict[str, Any] = json.loads(first if first.endswith(b"\n") else first + rest.readline())
    command = os.fork()
    if command:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(command, signal.SIGKILL))
        signal.alarm(SECONDS)
        _, status = os.waitpid(command, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    connection.close()
    for stream, given in zip(STREAMS, streams, strict=True):
        os.dup2(given, stream)
        os.close(given)
    return asked


def main() -> None:
    """path of the socket: the one argument. The owner holds the other end of standard input."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(sys.argv[1])
    listening.listen()
    owner = os.dup(STREAMS[0])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who attend
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    asked = serve(listening, owner)
    os.close(owner)
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.argv = [MODULE, *asked["arguments"]]
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
