"""Signatures: the specification's golden vector, and every library that verifies them."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks

import sluice
from services.webhooks.signing import SigningKeys, headers
from shared.models.webhook import draw_secret, message_id, secret_bytes

GOLDEN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD, NEW = draw_secret(lambda count: bytes(range(count))), draw_secret(lambda count: bytes(reversed(range(count))))
BODY = '{"type":"job.succeeded","data":{"output":"Grüße, 世界 \U0001f980"}}'.encode()

Verify = Callable[[str, bytes, dict[str, str]], Any]
VERIFIERS: dict[str, tuple[Verify, type[Exception]]] = {
    "standardwebhooks": (
        lambda secret, body, sent: standardwebhooks.Webhook(secret).verify(body, sent),
        standardwebhooks.WebhookVerificationError,
    ),
    "sluice": (
        lambda secret, body, sent: sluice.Webhook(secret).verify(body, sent),
        sluice.WebhookVerificationError,
    ),
    "svix": (
        lambda secret, body, sent: svix.webhooks.Webhook(secret).verify(body, sent),
        svix.webhooks.WebhookVerificationError,
    ),
}
each_verifier = pytest.mark.parametrize(("verify", "refusal"), VERIFIERS.values(), ids=VERIFIERS)


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def signed(*secrets: str, at: int | None = None, body: bytes = BODY) -> dict[str, str]:
    keys = SigningKeys(tuple(secret_bytes(each) for each in secrets))
    return headers(keys, id=message_id("job_1:job.succeeded:1"), at_seconds=now() if at is None else at, body=body)


def test_the_golden_vector() -> None:
    sent = headers(
        SigningKeys((secret_bytes(GOLDEN_SECRET),)),
        id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at_seconds=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert sent["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@each_verifier
def test_unicode_verifies(verify: Verify, refusal: type[Exception]) -> None:
    verify(NEW, BODY, signed(NEW))


@each_verifier
def test_during_a_rotation_both_secrets_verify(verify: Verify, refusal: type[Exception]) -> None:
    sent = signed(NEW, OLD)
    assert sent["webhook-signature"].count(" ") == 1
    for secret in (NEW, OLD):
        verify(secret, BODY, sent)


@each_verifier
def test_the_old_secret_alone_is_refused_after_it(verify: Verify, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        verify(OLD, BODY, signed(NEW))


@each_verifier
@pytest.mark.parametrize("offset", [-299, 299])
def test_within_the_tolerance(verify: Verify, refusal: type[Exception], offset: int) -> None:
    verify(NEW, BODY, signed(NEW, at=now() + offset + (1 if offset < 0 else 0)))


@each_verifier
@pytest.mark.parametrize("offset", [-302, 302])
def test_beyond_the_tolerance(verify: Verify, refusal: type[Exception], offset: int) -> None:
    with pytest.raises(refusal):
        verify(NEW, BODY, signed(NEW, at=now() + offset))


@each_verifier
@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp", "webhook-signature", "body"])
def test_tampering_is_found(verify: Verify, refusal: type[Exception], part: str) -> None:
    sent, body = signed(NEW), BODY
    if part == "body":
        body = body.replace(b"job", b"jab", 1)
    elif part == "webhook-timestamp":
        sent[part] = str(int(sent[part]) - 1)
    else:
        sent[part] = sent[part][:-4] + ("AAA=" if not sent[part].endswith("AAA=") else "BBB=")
    with pytest.raises(refusal):
        verify(NEW, body, sent)


@pytest.mark.parametrize("count", [24, 64])
def test_secrets_of_every_allowed_length(count: int) -> None:
    secret = "whsec_" + base64.b64encode(bytes(count)).decode()
    assert secret_bytes(secret) == bytes(count)


@pytest.mark.parametrize("text", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "A" * 31, "whsec_AAAA"])
def test_what_is_no_secret(text: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        secret_bytes(text)


def test_a_drawn_secret_is_one() -> None:
    assert len(secret_bytes(draw_secret(bytes))) == 32


def test_a_message_has_one_id() -> None:
    assert message_id("a") == message_id("a") != message_id("b")
    assert message_id("a").startswith("msg_")


def test_keys_are_not_shown() -> None:
    assert "MfKQ" not in repr(SigningKeys((b"MfKQ" * 6,)))
