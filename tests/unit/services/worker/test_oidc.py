"""Who may push (S12): a good token is taken, and each thing that can be wrong with one is refused for itself."""

import base64
import hmac
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.worker import oidc
from services.worker.jwks import KeySet, KeysUnavailable
from services.worker.oidc import MAX_REMEMBERED, REMEMBER_SECONDS, Flaw, Genuine, Verifier
from shared.clock import MILLISECONDS, ManualClock
from tests.unit.services.worker.signing import AUDIENCE, EMAIL, EXPECTED, ISSUER, ONE, TWO, Issuer, Key


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.issuer = Issuer(self.clock)
        self.keys = KeySet(self.issuer.fetch, self.clock, lambda: 0.5)
        self.verifier = Verifier(EXPECTED, self.keys, self.clock)

    async def verdict(self, header: str | None) -> Genuine | Flaw:
        return await self.verifier.verify(header)

    async def verdict_on(self, **changes: Any) -> Genuine | Flaw:
        return await self.verdict(self.issuer.header(**changes))

    def now(self) -> int:
        return self.clock.now() // MILLISECONDS


@pytest.fixture
def b() -> Bench:
    return Bench()


async def test_a_good_token_is_taken(b: Bench) -> None:
    assert await b.verdict_on() == Genuine(EMAIL)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Token abc"])
async def test_no_token_is_refused(b: Bench, header: str | None) -> None:
    assert await b.verdict(header) is Flaw.MISSING


@pytest.mark.parametrize("token", ["x", "a.b", "a.b.c", "....", "e30.e30.e30 e30", "é.é.é", "a" * 9_000])
async def test_what_is_no_token_is_refused(b: Bench, token: str) -> None:
    assert await b.verdict(f"Bearer {token}") in {Flaw.MALFORMED, Flaw.ALGORITHM}


async def test_a_token_of_another_signature_is_refused(b: Bench) -> None:
    """The right key's id, another's signature."""
    forged = Key(ONE.id, TWO.private)
    assert await b.verdict(b.issuer.header(forged)) is Flaw.SIGNATURE


async def test_a_token_that_was_changed_after_it_was_signed_is_refused(b: Bench) -> None:
    head, _, signature = b.issuer.header().split(".")
    payload = urlsafe(orjson.dumps(b.issuer.claims(sub="2")))
    assert await b.verdict(f"{head}.{payload}.{signature}") is Flaw.SIGNATURE


async def test_a_token_of_a_key_that_the_issuer_does_not_have_is_refused(b: Bench) -> None:
    assert await b.verdict(b.issuer.header(TWO)) is Flaw.UNKNOWN_KEY


async def test_a_token_that_is_not_signed_is_refused(b: Bench) -> None:
    token = jwt.encode(b.issuer.claims(), "", algorithm="none", headers={"kid": ONE.id})
    assert await b.verdict(f"Bearer {token}") is Flaw.ALGORITHM


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(b: Bench) -> None:
    """The classic: HS256 with what everybody knows."""
    public = ONE.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    parts = ({"alg": "HS256", "typ": "JWT", "kid": ONE.id}, b.issuer.claims())
    signed = ".".join(urlsafe(orjson.dumps(part)) for part in parts)
    token = f"{signed}.{urlsafe(hmac.digest(public, signed.encode(), 'sha256'))}"
    assert await b.verdict(f"Bearer {token}") is Flaw.ALGORITHM


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
async def test_another_algorithm_is_refused_though_the_key_is_right(b: Bench, algorithm: str) -> None:
    token = jwt.encode(b.issuer.claims(), ONE.private, algorithm=algorithm, headers={"kid": ONE.id})
    assert await b.verdict(f"Bearer {token}") is Flaw.ALGORITHM


@pytest.mark.parametrize("audience", ["https://other.example", f"{AUDIENCE}/", [AUDIENCE, "x"], [AUDIENCE]])
async def test_a_token_for_somebody_else_is_refused(b: Bench, audience: Any) -> None:
    assert await b.verdict_on(aud=audience) is Flaw.AUDIENCE


@pytest.mark.parametrize("issuer", ["https://other.example", f"{ISSUER}/", "https://issuer.example.evil.example", ""])
async def test_a_token_of_another_issuer_is_refused(b: Bench, issuer: str) -> None:
    assert await b.verdict_on(iss=issuer) is Flaw.ISSUER


async def test_any_of_the_issuers_will_do(b: Bench) -> None:
    assert await b.verdict_on(iss="issuer.example") == Genuine(EMAIL)


async def test_a_token_that_is_over_is_refused(b: Bench) -> None:
    leeway = oidc.LEEWAY_SECONDS
    assert await b.verdict_on(exp=b.now() - leeway + 1) == Genuine(EMAIL)
    assert await b.verdict_on(exp=b.now() - leeway) is Flaw.EXPIRED


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_a_token_of_the_future_is_refused(b: Bench, claim: str) -> None:
    leeway = oidc.LEEWAY_SECONDS
    assert await b.verdict_on(**{claim: b.now() + leeway}) == Genuine(EMAIL)
    assert await b.verdict_on(**{claim: b.now() + leeway + 2}) is Flaw.NOT_YET


@pytest.mark.parametrize("email", ["stranger@project.example", EMAIL.upper(), "", [EMAIL]])
async def test_an_account_that_may_not_push_is_refused(b: Bench, email: Any) -> None:
    assert await b.verdict_on(email=email) is Flaw.EMAIL


@pytest.mark.parametrize("verified", [False, None, "true", 1])
async def test_an_email_that_is_not_verified_is_refused(b: Bench, verified: Any) -> None:
    assert await b.verdict_on(email_verified=verified) is Flaw.EMAIL_UNVERIFIED


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "iat", "email"])
async def test_a_token_that_does_not_say_all_is_refused(b: Bench, claim: str) -> None:
    assert await b.verdict_on(**{claim: None}) is Flaw.CLAIM_MISSING


@pytest.mark.parametrize(("claim", "value"), [("exp", "later"), ("exp", True), ("iat", "now"), ("nbf", [])])
async def test_times_that_are_none_are_refused(b: Bench, claim: str, value: Any) -> None:
    assert await b.verdict_on(**{claim: value}) is Flaw.MALFORMED


async def test_what_cannot_be_found_out_is_neither(b: Bench) -> None:
    b.issuer.down = True
    with pytest.raises(KeysUnavailable):
        await b.verdict_on()


async def test_a_token_is_verified_once_and_remembered(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    header, decoded = b.issuer.header(), count_decoding(monkeypatch)
    for _ in range(3):
        assert await b.verdict(header) == Genuine(EMAIL)
    assert len(decoded) == 1
    await b.clock.advance(REMEMBER_SECONDS)
    assert await b.verdict(header) == Genuine(EMAIL)
    assert len(decoded) == 2


async def test_what_is_remembered_ends_with_the_token(b: Bench) -> None:
    header = b.issuer.header(exp=b.now() + 5)
    assert await b.verdict(header) == Genuine(EMAIL)
    await b.clock.advance(5 + oidc.LEEWAY_SECONDS)
    assert await b.verdict(header) is Flaw.EXPIRED


async def test_a_refusal_is_not_remembered_as_anything_else(b: Bench) -> None:
    header = b.issuer.header(TWO)
    assert await b.verdict(header) is Flaw.UNKNOWN_KEY
    assert await b.verdict(header) is Flaw.UNKNOWN_KEY


async def test_no_more_is_remembered_than_so_many(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "MAX_REMEMBERED", 2)
    assert MAX_REMEMBERED > 2
    first, *others = [b.issuer.header(sub=str(number)) for number in range(3)]
    decoded = count_decoding(monkeypatch)
    for header in (first, *others, *others, first):
        assert await b.verdict(header) == Genuine(EMAIL)
    assert len(decoded) == 4


def urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each token whose signature is really checked."""
    decoded: list[str] = []
    decode = jwt.decode

    def counted(token: str, *arguments: Any, **options: Any) -> Any:
        decoded.append(token)
        return decode(token, *arguments, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    return decoded
