"""Messages that nobody should have sent: put into a topic of an arena past every service of it.

Used by `inflict` and by tests of what the broker may deliver: the same message or event again, or what cannot be read.
"""

import asyncio
from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

from shared.messaging.contract import Message
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from shared.messaging.topics import Names
from shared.models.envelope import Envelope
from shared.models.event import Event
from shared.models.job import Lane
from tests.chaos.arena import Arena
from tests.chaos.evidence import stored
from tests.chaos.handlers import QUEUE

UNREADABLE: Final = (b"{", b"null", b"0", b'{"v": 99}', b"\xff\xfe", b'{"v": 1, "id": 5}')
_PUBLISH_SECONDS: Final = 60.0


async def deliver(place: Arena, bodies: Iterable[bytes]) -> None:
    """To the interactive lane of the queue, past the proxies."""
    topic = Names(place.system.options.prefix).jobs(QUEUE, Lane.INTERACTIVE)
    await _publish(place, topic, [Message(body) for body in bodies])


async def _publish(place: Arena, topic: str, messages: Sequence[Message]) -> None:
    channel = PubSubChannel.open(place.project, emulator=place.backends.pubsub.address)
    publisher = PubSubPublisher(channel)
    try:
        await asyncio.gather(
            *(publisher.publish(topic, message, timeout_seconds=_PUBLISH_SECONDS) for message in messages)
        )
    finally:
        await publisher.aclose(deadline_seconds=1)
        await channel.aclose()


async def repeat(place: Arena, jobs: Iterable[str], *, copies: int = 1) -> int:
    """The first messages of those jobs once more, in whatever state the jobs are by now: how many there were."""
    found = await stored(place.project, place.backends.firestore.address, jobs)
    bodies = [Envelope(job.spec).encode() for job in found.values() if job.spec.known]
    await deliver(place, bodies * copies)
    return len(bodies)


async def replay(place: Arena, told: Sequence[bytes], rng: Random, *, most: int) -> int:
    """Up to `most` of these events once more, in an order that is drawn: how many there were."""
    bodies = rng.sample(told, min(most, len(told)))
    messages = [Message(body, Event.decode(body).attributes) for body in bodies]
    await _publish(place, Names(place.system.options.prefix).events, messages)
    return len(messages)
