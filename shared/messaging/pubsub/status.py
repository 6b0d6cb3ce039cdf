"""What a failed call says about the messages in it: whether they may have arrived, and whether asking again can help.

Status codes as documented by gRPC and by Pub/Sub (cloud.google.com/pubsub/docs/reference/error-codes).
"""

from enum import Enum

import grpc

_Code = grpc.StatusCode


class Failure(Enum):
    INVALID = "invalid"
    """The request was understood and refused; nothing of it was done."""
    DENIED = "denied"
    """Nothing was done, and nothing will be until somebody changes the topology or the permissions."""
    BUSY = "busy"
    """Nothing was done; another time it will be."""
    UNKNOWN = "unknown"
    """The answer was lost or never made. It may have been done."""


_FAILURES = {
    _Code.INVALID_ARGUMENT: Failure.INVALID,
    _Code.NOT_FOUND: Failure.DENIED,
    _Code.PERMISSION_DENIED: Failure.DENIED,
    _Code.UNAUTHENTICATED: Failure.DENIED,
    _Code.FAILED_PRECONDITION: Failure.DENIED,
    _Code.UNIMPLEMENTED: Failure.DENIED,
    _Code.RESOURCE_EXHAUSTED: Failure.BUSY,
    _Code.ABORTED: Failure.BUSY,
}


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    return _FAILURES.get(error.code(), Failure.UNKNOWN)


def explain(error: grpc.aio.AioRpcError, subject: str) -> str:
    """One line for logs and exceptions. subject: the topic or subscription."""
    if error.code() is _Code.NOT_FOUND:
        return f"{subject} does not exist: apply the topology"
    return f"{subject}: {error.code().name}, {error.details()}"
