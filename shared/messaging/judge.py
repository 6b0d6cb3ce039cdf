"""Calls a `Handle` so that whatever it does becomes an outcome. Used by the consumer.

A handle that raises is a fault of ours or of the service's: it is logged, and its message is never acknowledged but
comes again, later each time, until the broker gives up on it.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from shared.messaging.backoff import Draw, full_jitter
from shared.messaging.contract import Acknowledge, Delivery, Handle, Redeliver, Verdict

_log = logging.getLogger(__name__)

_FIRST_SECONDS: Final = 1.0
_CAP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """The handle raised; the message is to come again after about `after_seconds`."""

    after_seconds: float


async def judged(handle: Handle, delivery: Delivery, draw: Draw) -> Verdict | Fault:
    """What `handle` says of `delivery`. Raises only when the task that awaits it was cancelled."""
    try:
        return _checked(await handle(delivery))
    except Exception as fault:  # noqa: BLE001 - the boundary to the services' code; nothing is hidden
        return _fault(delivery, fault, draw)
    except asyncio.CancelledError as stray:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return _fault(delivery, stray, draw)  # from inside the handle: nobody cancelled us


def _checked(verdict: Verdict) -> Verdict:
    if not isinstance(verdict, Acknowledge | Redeliver):
        raise TypeError(f"a handle returned {type(verdict).__name__}, which is no verdict")
    return verdict


def _fault(delivery: Delivery, fault: BaseException, draw: Draw) -> Fault:
    _log.error(
        "A handle raised; its message comes again",
        exc_info=fault,
        extra={"subscription": delivery.subscription, "message_id": delivery.message_id},
    )
    deliveries = max(0, delivery.delivery_attempt - 1)
    return Fault(full_jitter(deliveries, base_seconds=_FIRST_SECONDS, cap_seconds=_CAP_SECONDS, draw=draw))
