"""What a reducer reads, in its runner: pages of outputs, asked of the worker when they are wanted.

The other way round than reports: a page is asked for, and the worker answers. So nothing comes that nobody waits for,
and the connection holds a page or two of each reducer. An author's code may ask from any thread; everything else here
runs in the loop.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from services.worker.execution import task
from services.worker.execution.messages import Asked
from sluice.errors import AttemptOver
from sluice.outputs import Counts, RawOutput

MAX_ASKED = 2
"""Pages of one run that are asked for at once; more wait here. One is what a pass over the outputs takes."""

_Coming = Future[Sequence[RawOutput]]


class Pages:
    """Of one attempt. An `OutputSource`.

    send: writes a message; it does not wait.
    """

    def __init__(self, number: int, counts: task.Counts, send: Callable[[Asked], None]) -> None:
        self._number = number
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._asks = itertools.count(1)
        self._asked: dict[int, _Coming] = {}
        self._waiting: deque[tuple[int, _Coming]] = deque()
        self._over = False
        self.counts = Counts(*counts)

    def ask(self, start: int, /) -> _Coming:
        coming = _Coming()
        self._loop.call_soon_threadsafe(self._want, start, coming)
        return coming

    def given(self, ask: int, page: task.Page) -> None:
        """The worker's answer."""
        coming = self._asked.pop(ask, None)
        if coming is not None:
            coming.set_result([RawOutput(item.index, item.id, item.data) for item in page])
            self._ask_more()

    def end(self) -> None:
        """Nothing more will come: whoever waits is told so."""
        self._over = True
        left = [
            *self._asked.values(),
            *(coming for _, coming in self._waiting if coming.set_running_or_notify_cancel()),
        ]
        self._asked.clear()
        self._waiting.clear()
        for coming in left:
            coming.set_exception(AttemptOver("the attempt is over"))

    def _want(self, start: int, coming: _Coming) -> None:
        self._waiting.append((start, coming))
        if self._over:
            self.end()
        else:
            self._ask_more()

    def _ask_more(self) -> None:
        while self._waiting and len(self._asked) < MAX_ASKED:
            start, coming = self._waiting.popleft()
            if coming.set_running_or_notify_cancel():
                ask = next(self._asks)
                self._asked[ask] = coming
                self._send(Asked(self._number, ask, start))
