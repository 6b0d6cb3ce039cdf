"""Webhooks as a tenant has them: over HTTP, with the whole system behind, and a real server of its own to be called."""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
import standardwebhooks

from deploy.local.system import ROOT, System
from shared.storage.firestore.limits import Limits
from sluice import Webhook
from tests.acceptance.client import ApiClient, Json
from tests.acceptance.hooking import Hooks
from tests.integration.webhooks.receiver import Receiver, status, until, until_true

OPEN = {"pending", "sending"}
STORE_DEADLINE_SECONDS = Limits().deadline_seconds


async def test_a_job_is_told_of_to_the_endpoint_that_asked(hooks: Hooks, api: ApiClient, receiver: Receiver) -> None:
    made = await hooks.create(receiver.url("/hook"), labels={"team": "a"})
    job = await api.result("debug.echo", {"n": 1}, labels={"team": "a"})
    await api.result("debug.echo", {"n": 2})
    [arrival] = await receiver.until(1, "/hook")
    arrival.verify(made["secret"])
    message = Webhook(made["secret"]).verify(arrival.body, arrival.headers)
    assert message["type"] == "job.succeeded"
    assert (message["data"]["id"], message["data"]["output"]) == (job["id"], {"n": 1})
    [delivery] = await hooks.until_over(made["id"], 1)
    assert (delivery["state"], delivery["message_id"]) == ("delivered", arrival.message)
    assert [each["status"] for each in delivery["attempts"]] == [200]
    assert (delivery["subject"], delivery["webhook"]) == (job["id"], made["id"])
    about = await api.request("GET", "/v1/deliveries", params={"subject": job["id"]})
    assert [each["id"] for each in about.json["data"]] == [delivery["id"]]
    one = await api.request("GET", f"/v1/deliveries/{delivery['id']}")
    assert one.json == delivery


async def test_every_end_of_a_job_is_told(hooks: Hooks, api: ApiClient, receiver: Receiver) -> None:
    types = ["job.started", "job.succeeded", "job.failed", "job.canceled", "job.expired"]
    made = await hooks.create(receiver.url("/hook"), events=types, labels={"test": "ends"})
    labels = {"test": "ends"}
    await api.result("debug.echo", 1, labels=labels)
    await api.result("debug.fail", {"message": "no"}, labels=labels, max_attempts=1)
    waiting = await api.submit("debug.echo", 1, labels=labels, delay_seconds=60)
    await api.request("POST", f"/v1/jobs/{waiting.json['id']}/cancel")
    await hooks.until_over(made["id"], 5)
    found = sorted(each.json["type"] for each in receiver.at("/hook"))
    assert found == ["job.canceled", "job.failed", "job.started", "job.started", "job.succeeded"]


async def test_the_webhook_of_one_job(api: ApiClient, foreign: ApiClient, receiver: Receiver) -> None:
    webhook = {"url": receiver.url("/once")}
    refused = await foreign.submit("debug.echo", 1, webhook=webhook)
    assert (refused.status, refused.json["type"]) == (409, "/problems/webhook-secret-missing")
    shown = await foreign.request("GET", "/v1/webhooks/secret")
    assert shown.json["exists"] is False
    made = await foreign.request("POST", shown.json["urls"]["rotate"], json={})
    assert made.json["exists"]
    secret = made.json["secret"]
    job = await foreign.result("debug.echo", {"one": "off"}, webhook=webhook)
    [arrival] = await receiver.until(1, "/once")
    arrival.verify(secret)
    assert arrival.json["data"]["id"] == job["id"]
    shown = await foreign.request("GET", "/v1/webhooks/secret")
    assert "secret" not in shown.json
    about = await foreign.request("GET", "/v1/deliveries", params={"subject": job["id"]})
    assert [each["webhook"] for each in about.json["data"]] == [None]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest",
        "https://metadata.google.internal/",
        "https://user:secret@example.com/",
        "http://127.0.0.1:1/",
    ],
)
async def test_an_address_that_may_not_be_called_is_refused(api: ApiClient, url: str) -> None:
    for answer in (
        await api.request("POST", "/v1/webhooks", json={"url": url}),
        await api.submit("debug.echo", 1, webhook={"url": url}),
    ):
        assert (answer.status, answer.json["type"]) == (422, "/problems/destination-not-allowed")
        assert "secret" not in answer.body.decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "https://example.com", "unknown": 1},
        {},
        {"url": 1},
        {"url": "https://example.com", "events": []},
        {"url": "https://example.com", "events": ["job.done"]},
        {"url": "https://example.com", "events": ["webhook.test"]},
        {"url": "https://example.com", "headers": {"Host": "evil"}},
        {"url": "https://example.com", "headers": {"Content-Length": "1"}},
        {"url": "https://example.com", "headers": {"Webhook-Id": "1"}},
        {"url": "https://example.com", "headers": {"Transfer-Encoding": "chunked"}},
        {"url": "https://example.com", "headers": {"X-A": "b\r\nHost: evil"}},
        {"url": "https://example.com", "headers": {"X-A": "1", "x-a": "2"}},
    ],
)
async def test_what_is_malformed_is_refused(api: ApiClient, fields: Json) -> None:
    assert (await api.request("POST", "/v1/webhooks", json=fields)).status == 400


async def test_an_endpoint_from_creation_to_deletion(hooks: Hooks, api: ApiClient, receiver: Receiver) -> None:
    made = await hooks.create(receiver.url("/hook"), headers={"X-Key": "s3cret"}, description="mine")
    assert made["secret"].startswith("whsec_")
    path = f"/v1/webhooks/{made['id']}"
    shown = (await api.request("GET", path)).json
    assert shown == {key: value for key, value in made.items() if key != "secret"}
    assert shown["headers"] == ["x-key"]
    listed = await api.request("GET", "/v1/webhooks", params={"limit": "100"})
    assert shown in listed.json["data"]
    changed = await api.request("PATCH", path, json={"events": ["job.failed"], "headers": {}})
    assert (changed.json["events"], changed.json["headers"], changed.json["url"]) == (["job.failed"], [], made["url"])
    assert (await api.request("DELETE", path)).status == 204
    assert (await api.request("GET", path)).status == 404
    assert (await api.request("DELETE", path)).status == 404


async def test_another_tenants_endpoints_and_deliveries_are_404(
    hooks: Hooks, api: ApiClient, foreign: ApiClient, receiver: Receiver
) -> None:
    made = await hooks.create(receiver.url("/hook"))
    await hooks.act(made["id"], "test")
    [delivery] = await hooks.until_over(made["id"], 1)
    nothing = await foreign.request("GET", f"/v1/webhooks/whk_{'0' * 40}")
    for method, path in (
        ("GET", f"/v1/webhooks/{made['id']}"),
        ("PATCH", f"/v1/webhooks/{made['id']}"),
        ("DELETE", f"/v1/webhooks/{made['id']}"),
        *(("POST", f"/v1/webhooks/{made['id']}/{act}") for act in ("rotate-secret", "test", "enable", "disable")),
        ("GET", f"/v1/webhooks/{made['id']}/deliveries"),
        ("GET", f"/v1/deliveries/{delivery['id']}"),
        ("POST", f"/v1/deliveries/{delivery['id']}/redeliver"),
    ):
        answer = await foreign.request(method, path, json={} if method != "GET" else None)
        assert answer.status == 404, path
        assert {**answer.json, "instance": ""} == {**nothing.json, "instance": ""}
    about = await foreign.request("GET", "/v1/deliveries", params={"subject": delivery["subject"]})
    assert about.json["data"] == []


async def test_a_test_message_and_a_rotation(hooks: Hooks, receiver: Receiver) -> None:
    made = await hooks.create(receiver.url("/hook"), events=["job.failed"])
    tested = await hooks.act(made["id"], "test")
    assert tested.status == 202
    [arrival] = await receiver.until(1, "/hook")
    assert (arrival.json["type"], arrival.message) == ("webhook.test", tested.json["message_id"])
    rotated = await hooks.act(made["id"], "rotate-secret", overlap_seconds=600)
    assert rotated.json["previous_secret_until"] is not None
    await until_true(lambda: _signed_by(hooks, made["id"], receiver, rotated.json["secret"]))
    receiver.arrivals[-1].verify(made["secret"])
    await hooks.act(made["id"], "rotate-secret", overlap_seconds=0)


async def _signed_by(hooks: Hooks, id: str, receiver: Receiver, secret: str) -> bool:
    """Whether a further test message is signed with it; settings may be two seconds old."""
    count = len(receiver.arrivals)
    await hooks.act(id, "test")
    await until(lambda: len(receiver.arrivals) > count)
    try:
        receiver.arrivals[-1].verify(secret)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


async def test_disabled_held_enabled_recovered(hooks: Hooks, api: ApiClient, receiver: Receiver) -> None:
    made = await hooks.create(receiver.url("/hook"), labels={"test": "held"})
    assert (await hooks.act(made["id"], "disable")).json["disabled_by"] == "owner"
    since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    refused = await hooks.act(made["id"], "recover", since=since)
    assert (refused.status, refused.json["type"]) == (409, "/problems/webhook-disabled")
    await asyncio.gather(*(api.result("debug.echo", n, labels={"test": "held"}) for n in range(3)))
    held = await hooks.until_over(made["id"], 3)
    assert {each["state"] for each in held} == {"held"}
    assert receiver.at("/hook") == []
    assert (await hooks.act(made["id"], "enable")).json["status"] == "enabled"
    assert (await hooks.act(made["id"], "recover", since=since)).status == 202
    await receiver.until(3, "/hook")
    assert {each["state"] for each in await hooks.until_over(made["id"], 3)} == {"delivered"}


async def test_one_is_sent_again_on_request(hooks: Hooks, api: ApiClient, receiver: Receiver) -> None:
    made = await hooks.create(receiver.url("/hook"), labels={"test": "again"})
    await api.result("debug.echo", 1, labels={"test": "again"})
    [delivery] = await hooks.until_over(made["id"], 1)
    again = await api.request("POST", f"/v1/deliveries/{delivery['id']}/redeliver")
    assert (again.status, again.json["state"]) == (202, "pending")
    first, second = await receiver.until(2, "/hook")
    assert (first.message, first.body) == (second.message, second.body)
    [done] = await hooks.until_over(made["id"], 1)
    assert [each["status"] for each in done["attempts"]] == [200, 200]


async def test_asking_for_it_races_the_automatic_retry_and_nothing_is_lost(
    hooks: Hooks, api: ApiClient, receiver: Receiver
) -> None:
    made = await hooks.create(receiver.url("/hook"), labels={"test": "race"})
    receiver.answers["/hook"] = status(503)
    await api.result("debug.echo", 1, labels={"test": "race"})
    await receiver.until(1, "/hook")
    receiver.answers.clear()
    [delivery] = await hooks.log(made["id"])
    asked = [api.request("POST", f"/v1/deliveries/{delivery['id']}/redeliver") for _ in range(8)]
    assert {answer.status for answer in await asyncio.gather(*asked)} <= {202, 503}
    [done] = await hooks.until_over(made["id"], 1)
    assert done["state"] == "delivered"


async def test_secrets_are_in_no_log_metric_or_read(
    hooks: Hooks, api: ApiClient, system: System, session: aiohttp.ClientSession, receiver: Receiver
) -> None:
    canary = f"canary{os.urandom(8).hex()}"
    made = await hooks.create(receiver.url(f"/{canary}"), headers={"X-Key": canary}, labels={"test": canary})
    await api.result("debug.echo", canary, labels={"test": canary})
    await receiver.until(1, f"/{canary}")
    await hooks.until_over(made["id"], 1)
    key = made["secret"].removeprefix("whsec_")
    for port in system.admin_ports.values():
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
            assert canary not in text
            assert key not in text
    for path in system.service_logs():
        text = path.read_text()
        assert canary not in text
        assert key not in text
        assert not re.search(r"whsec_\w", text)


async def test_the_example_receiver_prints_what_it_can_verify(system: System, api: ApiClient) -> None:
    environ = {**os.environ, "SLUICE_API_KEY": api.token, "SLUICE_URL": system.base_url, "RECEIVER_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.receiver", cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = ""
    try:
        async with asyncio.timeout(30):
            while "webhook.test" not in lines:
                line = await process.stdout.readline()
                assert line, lines
                lines += line.decode()
    finally:
        process.send_signal(2)
        await process.wait()
    assert "refused" not in lines
    assert process.returncode == 0
