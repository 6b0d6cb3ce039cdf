"""Becomes another program, tied to the life of the process that started it. `guard.Guard` puts it before every command.

    leash.py PARENT_PID GUARD_FD PROGRAM ARGUMENT…

Two ties, because either alone has a gap. The kernel kills the program when its parent dies (Linux only; reaches no
grandchild). The guard kills the program's whole group (everywhere; needs the guard alive). Registering here, before
the program exists, leaves no moment in which it runs unregistered.

Run as a script on the bare interpreter, so it imports the standard library alone.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int, last_signal: int = signal.SIGKILL) -> None:
    """Ask the kernel to send us `last_signal` when the thread that started us ends. No effect off Linux."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(last_signal))
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), last_signal)


def main() -> None:
    """Tie this process, then become the program."""
    parent, guard, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    die_with_parent(parent)
    try:
        os.write(guard, f"+ group {os.getpid()}\n".encode())
    except BrokenPipeError:
        sys.exit("The guard process has died; nothing is started without it.")
    os.close(guard)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)  # Python ignores them, and a program would inherit that
    try:
        os.execvp(program[0], program)  # noqa: S606  (no shell is wanted)
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
