"""Sluice for the people who write handlers: typed Python functions that run behind an HTTP API.

    from sluice import Handlers, JobContext, Outputs, Reject, Retry

and for those who are told of jobs: `Webhook(secret).verify(body, headers)`.

Tests of handlers find `run` and `reduce` in `sluice.testing`.
"""

from sluice.context import JobContext
from sluice.definition import HandlerDefinition
from sluice.errors import AttemptOver, DefinitionError, InvalidInput, InvalidOutput, OutputTooLarge, UnfitOutput
from sluice.handlers import Handlers
from sluice.outcomes import Reject, Retry
from sluice.outputs import Counts, Item, Outputs
from sluice.webhooks import Webhook, WebhookVerificationError

__all__ = [
    "AttemptOver",
    "Counts",
    "DefinitionError",
    "HandlerDefinition",
    "Handlers",
    "InvalidInput",
    "InvalidOutput",
    "Item",
    "JobContext",
    "OutputTooLarge",
    "Outputs",
    "Reject",
    "Retry",
    "UnfitOutput",
    "Webhook",
    "WebhookVerificationError",
]
