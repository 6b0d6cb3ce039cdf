"""Messages that nobody should have sent: put into a queue of an arena past every gateway.

Used by `inflict` and by tests of what the broker may deliver: the same message again, or one that cannot be read.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from shared.messaging.contract import Message
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from shared.messaging.topics import Names
from shared.models.envelope import Envelope
from shared.models.job import Lane
from tests.chaos.arena import Arena
from tests.chaos.evidence import stored
from tests.chaos.handlers import QUEUE

UNREADABLE: Final = (b"{", b"null", b"0", b'{"v": 99}', b"\xff\xfe", b'{"v": 1, "id": 5}')
_PUBLISH_SECONDS: Final = 60.0


async def deliver(place: Arena, bodies: Iterable[bytes]) -> None:
    """To the interactive lane of the queue, past the proxies."""
    channel = PubSubChannel.open(place.project, emulator=place.backends.pubsub.address)
    publisher = PubSubPublisher(channel)
    topic = Names(place.system.options.prefix).jobs(QUEUE, Lane.INTERACTIVE)
    try:
        await asyncio.gather(
            *(publisher.publish(topic, Message(body), timeout_seconds=_PUBLISH_SECONDS) for body in bodies)
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
