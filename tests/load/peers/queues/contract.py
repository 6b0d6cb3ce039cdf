"""What the front asks of a queue, and what all queues are given alike. Reads LOAD_REDIS_URL."""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

REDIS_URL: Final = os.environ["LOAD_REDIS_URL"]
HANDLER: Final = "debug.echo"
AT_ONCE: Final = 100
"""Jobs that an asynchronous worker runs side by side: taskiq's default; arq's and SAQ's, 10, would hold them back."""
KEEP_SECONDS: Final = 3_600
"""For results."""
LOOK_SECONDS: Final = 0.05
"""Between two looks of a front that must poll for a result."""


class UnfinishedError(Exception):
    """The job has not ended within the wait."""


class UnknownJobError(Exception):
    """The queue knows of no such job. Not every queue can tell."""


class Queue(Protocol):
    """A queue that is connected, as the front sees it."""

    async def submit(self, id: str, handler: str, input: dict[str, Any]) -> None:
        """Enqueue a job under an id that the caller has drawn."""
        ...

    async def output(self, id: str, seconds: float) -> Any:
        """What the job returned, waited for at most `seconds`, which are above 0.

        Raises UnfinishedError, UnknownJobError, and whatever the job raised.
        """
        ...


Opened = Callable[[], AbstractAsyncContextManager[Queue]]
"""What each module of this package has as `opened`."""
