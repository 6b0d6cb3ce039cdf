"""Publishes of many callers at once, and what each of them hears."""

import asyncio
from collections.abc import Iterable

from shared.messaging.contract import Message
from shared.messaging.pubsub import PubSubPublisher
from tests.contract.messaging.broker_subject import PATIENT


def publishing(
    publisher: PubSubPublisher, bodies: Iterable[bytes], *, seconds: float = PATIENT
) -> list[asyncio.Task[None]]:
    return [
        asyncio.create_task(publisher.publish("t", Message(body), timeout_seconds=seconds), name=body.decode())
        for body in bodies
    ]


async def outcomes(tasks: list[asyncio.Task[None]]) -> list[type[BaseException] | None]:
    async with asyncio.timeout(PATIENT):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    return [None if result is None else type(result) for result in results]


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]
