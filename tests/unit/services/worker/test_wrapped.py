"""What Pub/Sub posts, read; what anybody else might, refused."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.wrapped import NotWrapped, delivery_of
from shared.clock import rfc3339
from shared.messaging.contract import Message

SUBSCRIPTION = "sluice-jobs-images-bulk.worker"


def body(*, subscription: str = f"projects/p/subscriptions/{SUBSCRIPTION}", **changes: Any) -> bytes:
    message = {"data": "aGk=", "attributes": {"v": "1"}, "messageId": "7", "publishTime": "2026-01-31T09:00:00.5Z"}
    return orjson.dumps({"message": {**message, **changes}, "subscription": subscription, "deliveryAttempt": 3})


def test_all_of_a_message_is_read() -> None:
    found = delivery_of(body(), SUBSCRIPTION, "push-1")
    assert (found.subscription, found.ack_id, found.message_id) == (SUBSCRIPTION, "push-1", "7")
    assert found.message == Message(b"hi", {"v": "1"})
    assert rfc3339(found.published_at) == "2026-01-31T09:00:00.500Z"
    assert found.delivery_attempt == 3


def test_what_may_be_left_out_may() -> None:
    message = {"messageId": "7", "publishTime": "2026-01-31T09:00:00.123456789Z", "orderingKey": "", "more": 1}
    found = delivery_of(orjson.dumps({"message": message, "subscription": SUBSCRIPTION}), SUBSCRIPTION, "push-1")
    assert found.message == Message(b"", {})
    assert found.delivery_attempt == 0


@given(st.binary())
def test_every_body_survives(data: bytes) -> None:
    wrapped = body(data=base64.b64encode(data).decode())
    assert delivery_of(wrapped, SUBSCRIPTION, "push-1").message.body == data


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"hi",
        b"[]",
        b"null",
        b"{}",
        b'{"message": null, "subscription": "s"}',
        b"\xff\xfe",
        body(data="not base64!"),
        body(data=7),
        body(attributes=[1]),
        body(messageId=None)[:40],
        body(publishTime="yesterday"),
        body(publishTime=None),
        body(subscription="projects/p/subscriptions/another"),
    ],
)
def test_anything_else_is_refused(wrong: bytes) -> None:
    with pytest.raises(NotWrapped):
        delivery_of(wrong, SUBSCRIPTION, "push-1")
