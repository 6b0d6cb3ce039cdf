"""Points subscriptions at workers, or nowhere: the adapter behind `contract.PushSwitch`.

By ModifyPushConfig; pushes that are on their way are not called back. Whoever calls it needs the right
`pubsub.subscriptions.update` on the subscription, and `iam.serviceAccounts.actAs` on the account that signs.
"""

from typing import Any, Final

import grpc

from shared.errors import BrokerUnavailable
from shared.messaging.pubsub import wire
from shared.messaging.pubsub.channel import PubSubChannel
from shared.messaging.pubsub.status import explain
from shared.messaging.push import Pulled, PushTarget

_CALL_SECONDS: Final = 10.0


def push_config(target: PushTarget | Pulled) -> Any:
    """As Pub/Sub spells it: an empty one pushes nowhere."""
    config = wire.PushConfig()
    if isinstance(target, PushTarget):
        config.push_endpoint = target.endpoint
        config.oidc_token.service_account_email = target.service_account
        config.oidc_token.audience = target.audience
    return config


class PubSubPushSwitch:
    """Calls with the channel's project; once each, for who calls comes again."""

    def __init__(self, channel: PubSubChannel) -> None:
        self._channel = channel
        self._modify = channel.call(wire.MODIFY_PUSH_CONFIG, wire.ModifyPushConfigRequest)

    async def point(self, subscription: str, target: PushTarget | Pulled) -> None:
        """As `contract.PushSwitch.point`, within ten seconds."""
        resource = self._channel.subscription(subscription)
        request = wire.ModifyPushConfigRequest(subscription=resource.path, push_config=push_config(target))
        try:
            await self._modify(request, timeout=_CALL_SECONDS, metadata=resource.routing)
        except grpc.aio.AioRpcError as error:
            raise BrokerUnavailable(explain(error, resource.path)) from None
