"""Handlers that do what they should not: block, hold on, take their process with them. Loaded like `ordinary`."""

import asyncio
import ctypes
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from sluice import Handlers, JobContext
from tests.integration.worker_execution.ordinary import Text, begun, note, there

handlers = Handlers(queue="unruly")


@handlers.on("log.process", run_in="process")
def log_process(input: Text) -> None:
    """Leaves the root logger with a handler that fails, and fails itself."""

    def refuse(_record: logging.LogRecord) -> bool:
        raise SystemExit("no logging here")

    hostile = logging.StreamHandler()
    hostile.addFilter(refuse)
    logging.getLogger().handlers[:] = [hostile]
    raise ValueError("unlogged")


@handlers.on("spin.loop")
async def spin_loop(input: Text) -> None:
    begun(input)
    while True:
        pass


@handlers.on("spin.thread", run_in="thread")
def spin_thread(input: Text) -> None:
    begun(input)
    while True:
        time.sleep(0.001)


@handlers.on("spin.process", run_in="process")
def spin_process(input: Text) -> None:
    begun(input)
    while True:
        pass


@handlers.on("heed.thread", run_in="thread")
def heed_thread(input: Text, job: JobContext) -> str:
    begun(input)
    while not job.cancelled:
        time.sleep(0.002)
    Path(input.text).touch()
    return "stopped early"


@handlers.on("heed.loop")
async def heed_loop(input: Text, job: JobContext) -> None:
    begun(input)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        note(input, f"cancelled: {job.cancelled}")
        raise


@handlers.on("deaf.loop")
async def deaf_loop(input: Text) -> str:
    """Does not let itself be cancelled, and returns when the file `text` is there."""
    begun(input)
    while not there(input.text):
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            continue
    return "late"


@handlers.on("clutch", run_in="thread")
def clutch(input: Text) -> None:
    """Holds Python's lock in C, for longer than any test."""
    begun(input)
    ctypes.PyDLL(None).sleep(60)


@handlers.on("exit.loop")
async def exit_loop(input: Text) -> None:
    os._exit(7)


@handlers.on("exit.thread", run_in="thread")
def exit_thread(input: Text) -> None:
    os._exit(7)


@handlers.on("exit.process", run_in="process")
def exit_process(input: Text) -> None:
    os._exit(7)


@handlers.on("crash.loop")
async def crash_loop(input: Text) -> None:
    ctypes.string_at(0)


@handlers.on("crash.process", run_in="process")
def crash_process(input: Text) -> None:
    ctypes.string_at(0)


@handlers.on("hog", run_in="process")
def hog(input: Text) -> int:
    return len(bytearray(int(input.text)))


def _own_socket() -> int:
    """The descriptor of the runner's connection, found as only malice would."""
    return int(json.loads(Path("/proc/self/cmdline").read_bytes().split(b"\0")[3])["socket_fd"])


@handlers.on("garble", run_in="thread")
def garble(input: Text) -> None:
    os.write(_own_socket(), b"\xff" * 100)
    threading.Event().wait(60)


@handlers.on("disconnect", run_in="thread")
def disconnect(input: Text) -> None:
    socket.socket(fileno=os.dup(_own_socket())).shutdown(socket.SHUT_RDWR)
    threading.Event().wait(60)


@handlers.on("fork.process", run_in="process")
def fork_process(input: Text) -> None:
    """Leaves a fork that holds the connection, and dies."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    note(input, str(pid))
    os._exit(1)


@handlers.on("spawn.process", run_in="process")
def spawn_process(input: Text) -> None:
    child = subprocess.Popen(["sleep", "60"])
    note(input, f"{os.getpid()} {child.pid}")
    begun(input)
    child.wait()


@handlers.on("surroundings", run_in="process")
def surroundings(input: Text) -> dict[str, Any]:
    kept_by_programs = []
    for fd in range(3, 256):
        try:
            flags = fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            continue
        kept_by_programs += [fd] if not flags & fcntl.FD_CLOEXEC else []
    child = subprocess.Popen(["sleep", "60"])
    child.terminate()
    return {
        "environ": dict(os.environ),
        "session": os.getsid(0) == os.getpid(),
        "stdin": os.read(0, 1).decode(),
        "kept_by_programs": kept_by_programs,
        "terminated": child.wait(timeout=5) == -signal.SIGTERM,
        "pid": os.getpid(),
    }
