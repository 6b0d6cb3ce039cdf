"""What we sign is verified by npm's `standardwebhooks`, in Node: the library that most consumers will use."""

import base64
import os
import time
from dataclasses import replace

import orjson
import pytest

from services.webhooks.signing import SigningKeys, headers
from shared.models.webhook import draw_secret, endpoint_place, secret_bytes
from shared.storage.contract import Version
from tests.integration.webhooks.bench import Bench
from tests.integration.webhooks.node_verifier import Case, verified
from tests.integration.webhooks.receiver import Receiver

REFUSED = "WebhookVerificationError"


def signed(*secrets: str, body: bytes = b"{}", late_by: int = 0) -> dict[str, str]:
    keys = SigningKeys(tuple(map(secret_bytes, secrets)))
    return headers(keys, id="msg_1", at_seconds=int(time.time()) - late_by, body=body)


async def test_npm_standardwebhooks_verifies_what_arrives(bench: Bench, receiver: Receiver) -> None:
    """The bytes on the wire, with letters of all the world in them, while two secrets sign."""
    tenant = bench.new_tenant()
    endpoint = await bench.register(tenant)
    old = bench.secrets[endpoint.id]
    new = "whsec_" + base64.b64encode(os.urandom(64)).decode()
    stored = await bench.adapters.endpoints.read(endpoint.id)
    assert stored is not None
    sealed = bench.sealer.seal(new.encode(), endpoint_place(endpoint.id))
    rotated = stored.value.with_secret(sealed, at=bench.adapters.clock.now(), overlap_seconds=60)
    assert isinstance(await bench.adapters.endpoints.replace(rotated, stored.version), Version)
    await bench.publish(bench.event(tenant, data={"labels": {"team": "Bücher 世界 🚰"}}))
    [arrival] = await receiver.until(1)
    genuine = Case(new, arrival.headers, arrival.body)
    cases = [genuine, replace(genuine, secret=old), replace(genuine, secret=draw_secret(os.urandom))]
    *good, stranger = await verified([*cases, replace(genuine, body=arrival.body.replace(b"succeeded", b"succeedeD"))])
    assert [orjson.loads(each) for each in good[:2]] == [arrival.json, arrival.json]
    assert [*good[2:], stranger] == [REFUSED, REFUSED]


@pytest.mark.parametrize("size", [24, 32, 64])
async def test_npm_standardwebhooks_takes_secrets_of_every_size(size: int) -> None:
    secret = "whsec_" + base64.b64encode(os.urandom(size)).decode()
    assert await verified([Case(secret, signed(secret), b"{}")]) == ["{}"]


async def test_npm_standardwebhooks_refuses_what_was_tampered_with_or_is_too_old() -> None:
    secret = draw_secret(os.urandom)
    good = signed(secret)
    cases = [
        Case(secret, signed(secret, late_by=298), b"{}"),
        Case(secret, signed(secret, late_by=-298), b"{}"),
        Case(secret, signed(secret, late_by=302), b"{}"),
        Case(secret, signed(secret, late_by=-303), b"{}"),
        Case(secret, good, b"{ }"),
        Case(secret, good | {"webhook-id": "msg_2"}, b"{}"),
        Case(secret, good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)}, b"{}"),
        Case(secret, good | {"webhook-signature": "v1,"}, b"{}"),
        Case(secret, {name: value for name, value in good.items() if name != "webhook-signature"}, b"{}"),
    ]
    assert await verified(cases) == ["{}", "{}", *[REFUSED] * 7]
