"""The runner's end of the connection: attempts begin, are cancelled and end here. Everything runs in the loop but the
handlers in threads.
"""

import asyncio
import functools
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from services.worker.execution.frames import Decoder
from services.worker.execution.messages import Asked, Cancel, Finished, Given, Ping, Pong, Reported, Run, read_to_runner
from services.worker.execution.outcomes import Ended, Failed
from services.worker.execution.runner.attempt import Attempt
from services.worker.execution.runner.outputs import Pages
from services.worker.execution.runner.reporting import Pump
from services.worker.execution.setup import Setup
from shared.models.job import ErrorCode
from sluice.definition import HandlerDefinition

WRITE_BUFFER_BYTES = 4 * 1_048_576
"""Beyond it reports wait. Outcomes do not: there are no more of them than slots, and each is bounded."""

_NEVER_BEGAN = Failed(ErrorCode.HANDLER_ERROR, "Cancelled before it began", retryable=True)

_log = logging.getLogger("sluice.runner")


class Server(asyncio.Protocol):
    """
    cell: the mark that says which run holds the loop.
    """

    def __init__(self, handlers: Mapping[str, HandlerDefinition], cell: memoryview, setup: Setup) -> None:
        self._handlers = handlers
        self._cell = cell
        self._output_bytes = setup.output_bytes
        self._decoder = Decoder(setup.frame_bytes)
        self._threads = ThreadPoolExecutor(setup.threads, thread_name_prefix="handler")
        self._attempts: dict[int, Attempt] = {}
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._congested = False
        self.over = False
        """The worker has closed the connection, or is gone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it
        self._transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        self._loop.stop()

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False

    def data_received(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            match read_to_runner(frame):
                case Run() as run:
                    self._begin(run)
                case Cancel(number):
                    if (attempt := self._attempts.get(number)) is not None:
                        attempt.cancel()
                case Given(number, ask, page):
                    if (attempt := self._attempts.get(number)) is not None:
                        attempt.given(ask, page)
                case Ping(number):
                    self._send(Pong(number))

    def _begin(self, run: Run) -> None:
        definition = self._handlers[run.handler]
        pump = Pump(run.number, self._send, lambda: self._congested) if definition.takes_context else None
        outputs = None if run.outputs is None else Pages(run.number, run.outputs, self._send)
        attempt = self._attempts[run.number] = Attempt(run, definition, pump, outputs, self._output_bytes)
        if definition.run_in == "loop":
            attempt.task = self._loop.create_task(attempt.in_loop(self._cell))
            attempt.task.add_done_callback(functools.partial(self._in_loop_done, run.number))
        else:
            done = self._loop.run_in_executor(self._threads, attempt.in_thread)
            done.add_done_callback(lambda ended: self._finish(run.number, ended.result()))

    def _in_loop_done(self, number: int, task: "asyncio.Task[Ended]") -> None:
        self._finish(number, _NEVER_BEGAN if task.cancelled() else task.result())

    def _finish(self, number: int, ended: Ended) -> None:
        self._attempts.pop(number).finish()
        self._send(Finished(number, ended))

    def _send(self, message: Finished | Reported | Asked | Pong) -> None:
        assert self._transport is not None
        self._transport.write(message.encode())
