"""Sluice for the people who write handlers: typed Python functions that run behind an HTTP API.

    from sluice import Handlers, JobContext, Reject, Retry

and for those who are told of jobs: `Webhook(secret).verify(body, headers)`.

Tests of handlers find `run` in `sluice.testing`.
"""

from sluice.context import JobContext
from sluice.errors import DefinitionError, InvalidInput, InvalidOutput
from sluice.handlers import HandlerDefinition, Handlers
from sluice.outcomes import Reject, Retry
from sluice.webhooks import Webhook, WebhookVerificationError

__all__ = [
    "DefinitionError",
    "HandlerDefinition",
    "Handlers",
    "InvalidInput",
    "InvalidOutput",
    "JobContext",
    "Reject",
    "Retry",
    "Webhook",
    "WebhookVerificationError",
]
