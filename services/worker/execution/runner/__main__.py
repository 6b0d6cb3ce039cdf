"""`python -m services.worker.execution.runner SETUP`: one runner. Started by `services.worker.execution.process` only.

It settles in, loads the handlers, tells the worker what it found, and serves until the connection ends.
"""

import asyncio
import faulthandler
import logging
import os
import socket
import sys
from collections.abc import Mapping

import orjson
import uvloop

from services.worker.execution.errors import HandlersNotLoaded, LoadFault
from services.worker.execution.mark import Mark
from services.worker.execution.messages import Announced, NotLoaded, Ready
from services.worker.execution.runner import hygiene
from services.worker.execution.runner.server import Server
from services.worker.execution.setup import Setup
from services.worker.execution.task import LoadedHandler
from services.worker.load import load
from shared.models.handler import HandlerEntry
from sluice.definition import HandlerDefinition
from sluice.reducers import built_in

LEAVE_SECONDS = 2.0
"""For what authors registered with `atexit`, once the worker lets this process go."""

_log = logging.getLogger("sluice.runner")


def main(argument: str) -> None:
    setup = Setup.parse(argument)
    hygiene.settle(setup)
    connection = socket.socket(fileno=setup.socket_fd)
    mark = Mark(setup.mark_fd)
    mark.close_fd()
    try:
        handlers = {**built_in(), **load(setup.handlers)}
        announcements = [_announced(each).encode() for each in handlers.values()]
    except HandlersNotLoaded as fault:
        connection.sendall(NotLoaded(fault.faults).encode())
        return
    connection.sendall(b"".join((*announcements, Ready().encode())))
    _serve(connection, handlers, mark, setup)
    # Non-daemon threads that go on would keep this process for ever; this ends it even while they hold Python's lock.
    faulthandler.dump_traceback_later(LEAVE_SECONDS, exit=True, file=os.open(os.devnull, os.O_WRONLY))


def _announced(definition: HandlerDefinition) -> Announced:
    entry = HandlerEntry(
        name=definition.name,
        queue=definition.queue,
        version=definition.version,
        input_schema=definition.input_schema(),
        output_schema=definition.output_schema(),
        timeout_seconds=definition.timeout_seconds,
        max_attempts=definition.max_attempts,
        cache_for_seconds=definition.cache_for_seconds,
        description=definition.description,
        reduces=definition.reduces,
    )
    try:
        orjson.dumps((entry.input_schema, entry.output_schema))
    except TypeError as error:
        raise HandlersNotLoaded([LoadFault("", f"handler {entry.name!r}: a schema is not JSON: {error}")]) from error
    return Announced(LoadedHandler(entry, definition.run_in))


def _serve(connection: socket.socket, handlers: Mapping[str, HandlerDefinition], mark: Mark, setup: Setup) -> None:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)

    async def begin() -> Server:
        server = Server(handlers, mark.cell, setup)
        await loop.create_unix_connection(lambda: server, sock=connection)
        return server

    server = loop.run_until_complete(begin())
    while not server.over:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as stray:
            # A task that a handler started by itself raised it. The loop and everybody else in it go on.
            _log.warning("a task tried to end the runner", extra={"type": type(stray).__name__})
    mark.cell[0] = 0


if __name__ == "__main__":
    main(sys.argv.pop())  # authors' modules may look at the arguments, and these are none of theirs
