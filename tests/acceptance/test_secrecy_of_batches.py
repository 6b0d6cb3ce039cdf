"""Nothing that is in a batch gets into a log or a metric of any service, nor into what is answered to its mistakes.

Its name puts it behind those that list jobs in the same system: each list makes the emulator look through all jobs
that there are, and here they become thousands.
"""

import re
import secrets
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import orjson
import pytest

from deploy.local.system import System
from tests.acceptance.client import ApiClient, Json
from tests.integration.webhooks.receiver import Receiver, ok, status

CANARY: Final = f"canary{secrets.token_hex(12)}"
LINES: Final = {"Content-Type": "application/x-ndjson"}
FINISHED: Final = frozenset({"completed", "canceled", "expired"})


async def _over(api: ApiClient, batch: Json) -> Json:
    for _ in range(6):
        if batch["status"] in FINISHED:
            return batch
        batch = (await api.request("GET", batch["urls"]["self"], headers={"Prefer": "wait=30"})).json
    raise AssertionError(f"the batch is still {batch['status']}")


async def _batch(api: ApiClient, handler: str, inputs: list[object], **options: object) -> Json:
    """Uploaded as JSON, once it is over."""
    answer = await api.request("POST", "/v1/batches", json={"handler": handler, "inputs": inputs, **options})
    assert answer.status == 202, answer.body
    return await _over(api, answer.json)


async def _told(system: System, session: aiohttp.ClientSession) -> dict[str, str]:
    """Everything that each process has said, of itself and when it was asked for its metrics."""
    said = {path.name: path.read_text() for path in system.service_logs()}
    for name, port in system.admin_ports.items():
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            said[f"metrics of {name}"] = await answer.text()
    return said


@pytest.fixture
async def secrecy(api: ApiClient, system: System, session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """What the test did has left no word of it anywhere."""
    yield
    said = await _told(system, session)
    for service in ("gateway", "worker", "aggregator", "webhooks"):
        assert any(name.startswith(service) for name in said), sorted(said)
    assert not [name for name, text in said.items() if "sluice" not in text]
    secret = re.compile(rf"{CANARY}|{api.token}|sk_acme_\w")
    found = [(name, text, leak.start()) for name, text in said.items() if (leak := secret.search(text))]
    leaks = [f"{name}: {text[max(0, at - 200) : at + 50]}" for name, text, at in found]
    assert not leaks, "\n".join(leaks)


@pytest.mark.usefixtures("secrecy")
async def test_what_a_batch_holds_is_told_to_nobody(api: ApiClient, receiver: Receiver) -> None:
    """Inputs, outputs, labels, a reduction's options and errors, and the URLs of webhooks, which may hold a key."""
    assert (await api.request("POST", "/v1/webhooks/secret/rotate")).status in {200, 201}
    ways = {
        f"/{way}-{CANARY}": answer for way, answer in (("well", ok), ("broken", status(500)), ("gone", status(410)))
    }
    receiver.answers |= ways
    for reduce, end in (({"handler": "collect"}, "succeeded"), ({"handler": "sum", "field": f"/{CANARY}"}, "failed")):
        for way in ways:
            hook = {"url": receiver.url(f"{way}?token={CANARY}"), "events": ["batch.completed"]}
            batch = await _batch(
                api, "debug.echo", [{CANARY: CANARY}], reduce=reduce, labels={"team": CANARY}, webhook=hook
            )
            assert (batch["status"], batch["reduce"]["status"]) == ("completed", end)
            assert CANARY in str((await api.request("GET", batch["urls"]["outputs"])).body)
            assert (await api.request("GET", batch["urls"]["jobs"])).status == 200
            assert (await api.request("DELETE", batch["urls"]["self"])).status == 204
    failed = await _batch(api, "debug.fail", [{"message": CANARY}] * 3, max_attempts=1)
    assert failed["counts"]["failed"] == 3
    for way in ways:
        await receiver.until(2, way)


@pytest.mark.usefixtures("secrecy")
@pytest.mark.parametrize(
    "url",
    [f"http://user:{CANARY}@localhost:1/", f"ftp://{CANARY}/", f"http://localhost:1/{CANARY}"],
    ids=["with a password", "of another scheme", "where nobody listens"],
)
async def test_a_webhook_that_nobody_can_call_is_told_to_nobody(api: ApiClient, url: str) -> None:
    """With a name and a password in its URL, of another scheme, and where nothing listens."""
    await api.request("POST", "/v1/webhooks/secret/rotate")
    body = {"handler": "debug.echo", "inputs": [1], "webhook": {"url": url}}
    answer = await api.request("POST", "/v1/batches", json=body)
    assert CANARY not in answer.body.decode()
    if answer.status == 202:
        await _over(api, answer.json)


@pytest.mark.usefixtures("secrecy")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f'{{"text": "{CANARY}'.encode(), 400),
        (f'{{"text": "{CANARY}"}} {CANARY}'.encode(), 400),
        (f'{{"text": ["{CANARY}"]}}'.encode(), 422),
        (b'{"text": "' + CANARY.encode() + b"\xff" + b'"}', 400),
        (b'{"text": "' + CANARY.encode() * 3_000 + b'"}', 413),
    ],
    ids=["cut", "two", "unfit", "not text", "long"],
)
async def test_a_broken_line_is_told_to_nobody_and_its_value_not_even_to_its_sender(
    api: ApiClient, line: bytes, code: int
) -> None:
    good = orjson.dumps({"text": CANARY}) + b"\n"
    query = {"handler": "text.stats", "reduce": orjson.dumps({"handler": "sum", "field": f"/{CANARY}"}).decode()}
    key = {"Idempotency-Key": secrets.token_hex(8)}
    answer = await api.request(
        "POST", "/v1/batches", params=query, data=good * 1_200 + line + b"\n" + good, headers={**LINES, **key}
    )
    assert answer.status == code, answer.body
    problem = {name: value for name, value in answer.json.items() if name != "batch"}
    assert CANARY not in str(problem)
    left = answer.json.get("batch")  # none where the line was found before anything was published
    if left is not None:
        assert (await api.request("POST", f"/v1/batches/{left['id']}/cancel")).status in {200, 202}


@pytest.mark.usefixtures("secrecy")
async def test_an_upload_that_breaks_off_and_options_that_are_wrong_are_told_to_nobody(api: ApiClient) -> None:
    async def torn() -> AsyncIterator[bytes]:
        yield orjson.dumps({"text": CANARY}) + b"\n"
        yield f'{{"text": "{CANARY}'.encode()
        raise ConnectionResetError("the client leaves")

    query = {"handler": "text.stats", "label.team": CANARY, f"label.{CANARY}": CANARY}
    with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
        await api.request("POST", "/v1/batches", params=query, data=torn(), headers=LINES)
    for wrong in ({"max_attempts": CANARY}, {"webhook": CANARY}, {"reduce": CANARY}, {CANARY: CANARY}):
        answer = await api.request(
            "POST", "/v1/batches", params={"handler": "text.stats", **wrong}, data=b'{"text": "a"}\n', headers=LINES
        )
        assert 400 <= answer.status < 500, answer.body
    answer = await api.request("GET", "/v1/batches", params={"status": CANARY})
    assert answer.status == 400
