"""Verifying messages with the SDK alone; that it agrees with our signatures is tested where those are made."""

import pytest

from sluice import Webhook, WebhookVerificationError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
AT = 1614265330
HEADERS = {
    "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "Webhook-Timestamp": str(AT),
    "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def webhook(at: float = AT) -> Webhook:
    return Webhook(SECRET, clock=lambda: at)


@pytest.mark.parametrize("body", [BODY, BODY.decode(), bytearray(BODY)])
def test_the_golden_vector(body: bytes) -> None:
    assert webhook().verify(body, HEADERS) == {"test": 2432232314}


@pytest.mark.parametrize("offset", [-300, -299, 299, 300])
def test_a_clock_may_be_five_minutes_off(offset: int) -> None:
    webhook(AT + offset).verify(BODY, HEADERS)


@pytest.mark.parametrize("offset", [-301, 301])
def test_and_no_more(offset: int) -> None:
    with pytest.raises(WebhookVerificationError, match="old"):
        webhook(AT + offset).verify(BODY, HEADERS)


def test_any_of_several_signatures_is_enough() -> None:
    headers = HEADERS | {"Webhook-Signature": f"v1,AAAA v1a,x {HEADERS['Webhook-Signature']}"}
    webhook().verify(BODY, headers)


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,ü"])
def test_what_is_no_signature_of_ours(signature: str) -> None:
    with pytest.raises(WebhookVerificationError):
        webhook().verify(BODY, HEADERS | {"Webhook-Signature": signature})


@pytest.mark.parametrize("name", HEADERS)
def test_a_missing_header(name: str) -> None:
    with pytest.raises(WebhookVerificationError, match="missing"):
        webhook().verify(BODY, {key: value for key, value in HEADERS.items() if key != name})


@pytest.mark.parametrize("timestamp", ["", "-1", "1e9", "٣"])
def test_a_timestamp_that_is_none(timestamp: str) -> None:
    with pytest.raises(WebhookVerificationError, match="number"):
        webhook().verify(BODY, HEADERS | {"Webhook-Timestamp": timestamp})


def test_a_changed_body() -> None:
    with pytest.raises(WebhookVerificationError, match="fits"):
        webhook().verify(BODY + b" ", HEADERS)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!", ""])
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        Webhook(secret)


def test_a_secret_is_not_shown() -> None:
    assert SECRET[6:] not in repr(webhook())
