"""What a runner must be before any of the authors' code runs. Called once, first thing, by the program.

Already so when it starts (see `process`): a session and process group of its own, standard input closed, standard
output joined to standard error, no secret in the environment.
"""

import ctypes
import faulthandler
import logging
import os
import resource
import signal
import sys

from services.worker.execution.runner.output import bounded_text
from services.worker.execution.setup import Setup
from shared.telemetry import logs

STACKS_SIGNAL = signal.SIGQUIT
"""Makes a runner write the stacks of its threads to standard error, even while Python's lock is held."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STDERR = 2


def settle(setup: Setup) -> None:
    """Tie this process to its worker, close what it does not need, bound its memory, and order its output."""
    _die_with(setup.worker_pid)
    _close_all_but({0, 1, _STDERR, setup.socket_fd, setup.mark_fd})
    for fd in (setup.socket_fd, setup.mark_fd):
        if fd >= 0:
            os.set_inheritable(fd, False)  # programs that handlers start have no use for it
    _outlive_stop_signals()
    if setup.memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (setup.memory_bytes, setup.memory_bytes))
    sys.stdout, sys.stderr = bounded_text(_STDERR), bounded_text(_STDERR)
    logs.configure("worker", f"{setup.instance}-runner-{os.getpid()}", level=setup.log_level, stream=sys.stderr)
    _keep_own_log()
    faulthandler.enable(_STDERR)
    faulthandler.register(STACKS_SIGNAL, _STDERR)


def _keep_own_log() -> None:
    """Whatever authors do to the root logger's handlers, the runner's lines do not pass through it."""
    own = logging.getLogger("sluice")
    own.handlers[:] = logging.getLogger().handlers
    own.propagate = False


def _die_with(worker_pid: int) -> None:
    """Ask the kernel to kill this process when the worker's thread that started it ends, which is its main thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != worker_pid:  # it ended before the kernel was asked
        os._exit(1)


def _close_all_but(kept: set[int]) -> None:
    start = 0
    for fd in sorted(fd for fd in kept if fd >= 0):
        if start < fd:  # an empty range at 0 would close everything
            os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _outlive_stop_signals() -> None:
    """Who stops a service signals all its processes; when a runner ends, the worker decides.

    By handlers that do nothing, because ignoring would be inherited by the programs that authors' code starts, which
    could not be terminated any more. Plain forks inherit the handlers, too, and are given back what they expect.
    """
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda _number, _frame: None)
    os.register_at_fork(after_in_child=_heed_stop_signals)


def _heed_stop_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
