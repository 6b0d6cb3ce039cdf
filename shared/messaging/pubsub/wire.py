"""Pub/Sub's protobuf messages, unwrapped: the client library's proto-plus wrappers cost more than the rest of a call.

The types exist only at run time, so they are `Any` here; what is built from them stays inside this package.
"""

from typing import Any

from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

PublishRequest: Any = types.PublishRequest.pb()
PullRequest: Any = types.PullRequest.pb()
PullResponse: Any = types.PullResponse.pb()
AcknowledgeRequest: Any = types.AcknowledgeRequest.pb()
ModifyAckDeadlineRequest: Any = types.ModifyAckDeadlineRequest.pb()

PushConfig: Any = types.PushConfig.pb()
ModifyPushConfigRequest: Any = types.ModifyPushConfigRequest.pb()

PUBLISH = "/google.pubsub.v1.Publisher/Publish"
PULL = "/google.pubsub.v1.Subscriber/Pull"
ACKNOWLEDGE = "/google.pubsub.v1.Subscriber/Acknowledge"
MODIFY_ACK_DEADLINE = "/google.pubsub.v1.Subscriber/ModifyAckDeadline"
MODIFY_PUSH_CONFIG = "/google.pubsub.v1.Subscriber/ModifyPushConfig"

PublisherTransport: Any = PublisherGrpcAsyncIOTransport
"""Knows the service's address and scopes, which are the same for publishing and subscribing."""
