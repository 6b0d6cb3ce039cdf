"""Sluice for the people who write handlers: typed Python functions that run behind an HTTP API.

    from sluice import Handlers, JobContext, Reject, Retry

Tests of handlers find `run` in `sluice.testing`.
"""

from sluice.context import JobContext
from sluice.errors import DefinitionError, InvalidInput, InvalidOutput
from sluice.handlers import HandlerDefinition, Handlers
from sluice.outcomes import Reject, Retry

__all__ = [
    "DefinitionError",
    "HandlerDefinition",
    "Handlers",
    "InvalidInput",
    "InvalidOutput",
    "JobContext",
    "Reject",
    "Retry",
]
