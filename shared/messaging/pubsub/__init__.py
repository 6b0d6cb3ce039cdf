"""Pub/Sub behind the Protocols of `shared.messaging.contract`, by raw gRPC calls: the real service or its emulator.

    channel = PubSubChannel.open("my-project")                     in the running loop, after any fork
    publisher, source = PubSubPublisher(channel), PubSubSource(channel)
    …
    await publisher.aclose(deadline_seconds=5); await source.aclose(); await channel.aclose()

Named by composition roots only.
"""

from shared.messaging.pubsub.channel import PubSubChannel
from shared.messaging.pubsub.publisher import PublishLimits, PubSubPublisher
from shared.messaging.pubsub.source import PubSubSource
from shared.messaging.pubsub.switch import PubSubPushSwitch

__all__ = ["PubSubChannel", "PubSubPublisher", "PubSubPushSwitch", "PubSubSource", "PublishLimits"]
