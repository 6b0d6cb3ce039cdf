"""Events become signed requests: to whom, with what, once each, and what is written of them."""

import asyncio
import base64
import os
from dataclasses import replace

import orjson
import pytest
import standardwebhooks
import svix.webhooks

from shared.models.batch import Batch, BatchSpec
from shared.models.batch_items import Items
from shared.models.batch_public import deadline_event, end_event, sealed_event
from shared.models.delivery import DeliveryState, ErrorClass
from shared.models.job import ErrorCode, Job, JobError, JobSpec
from shared.models.webhook import DisabledBy, JobWebhook, SealedSecret, draw_secret, endpoint_place, message_id
from shared.storage.contract import Version
from shared.storage.firestore import FirestoreJobs
from tests.integration.webhooks.bench import Bench
from tests.integration.webhooks.receiver import Receiver, status, until_true


async def test_an_event_arrives_signed_with_the_bytes_that_were_stored(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    endpoint = await bench.register(tenant)
    event = bench.event(tenant, data={"labels": {"team": "Bücher 世界"}})
    await bench.publish(event)
    [arrival] = await receiver.until(1)
    secret = bench.secrets[endpoint.id]
    arrival.verify(secret)
    svix.webhooks.Webhook(secret).verify(arrival.body, dict(arrival.headers))
    [done] = await bench.until_states(tenant, DeliveryState.DELIVERED)
    stored = await bench.adapters.deliveries.read(done.id)
    assert stored is not None
    assert stored.value.body == arrival.body
    assert (arrival.message, arrival.json["type"]) == (message_id(event.id), "job.succeeded")
    assert arrival.json["data"]["labels"] == {"team": "Bücher 世界"}
    assert arrival.headers["content-type"] == "application/json"
    assert arrival.headers["user-agent"] == "Sluice-Webhooks/1"
    assert [(each.status, each.error) for each in done.attempts] == [(200, None)]
    assert "cookie" not in arrival.headers


async def test_a_stranger_with_another_secret_cannot_verify_it(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    await bench.register(tenant)
    await bench.publish(bench.event(tenant))
    [arrival] = await receiver.until(1)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        arrival.verify(draw_secret(os.urandom))


async def test_an_event_that_comes_many_times_is_delivered_once(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    await bench.register(tenant)
    events = [bench.event(tenant) for _ in range(10)]
    await bench.publish(*events, *reversed(events), *events)
    await bench.until_states(tenant, *[DeliveryState.DELIVERED] * 10)
    assert sorted(each.message for each in receiver.arrivals) == sorted(message_id(event.id) for event in events)


async def test_each_endpoint_gets_what_it_asked_for(bench: Bench, receiver: Receiver) -> None:
    tenant, other = bench.new_tenant(), bench.new_tenant()
    await bench.register(tenant, "/all")
    await bench.register(tenant, "/failures", events={"job.failed"})
    await bench.register(tenant, "/labelled", labels={"team": "a"})
    await bench.register(other, "/other")
    first, second = bench.event(tenant), bench.event(tenant, "job.failed", data={"labels": {"team": "a", "x": "y"}})
    await bench.publish(first, second)
    await bench.until_states(tenant, *[DeliveryState.DELIVERED] * 4)
    assert {
        path: {each.message for each in receiver.at(path)} for path in ("/all", "/failures", "/labelled", "/other")
    } == {
        "/all": {message_id(first.id), message_id(second.id)},
        "/failures": {message_id(second.id)},
        "/labelled": {message_id(second.id)},
        "/other": set(),
    }


async def test_an_endpoint_hears_of_everything_from_its_creation_on(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    await bench.register(tenant, "/one")
    await bench.publish(bench.event(tenant))
    await receiver.until(1, "/one")
    for n in range(5):
        await bench.register(tenant, f"/new-{n}")
        await bench.publish(bench.event(tenant))
        await receiver.until(1, f"/new-{n}")


async def test_output_travels_along_where_it_fits(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    await bench.register(tenant)
    jobs = bench.adapters.jobs
    assert isinstance(jobs, FirestoreJobs)
    for size, omitted in ((100, False), (30_000, True)):
        job = bench.job_id(tenant)
        spec = JobSpec(job, tenant, "debug.echo", "default", b"1", 1, 2, 30.0, 5, labels={"size": str(size)})
        output = orjson.dumps("ü" * (size // 2))
        done = replace(Job.queued(spec), attempt=1, started_at=1).succeeded(output, at=2)
        assert isinstance(await jobs.create(done), Version)
        await bench.publish(bench.event(tenant, job=job))
        arrival = (await receiver.until(1 + omitted))[-1]
        data = arrival.json["data"]
        assert len(arrival.body) <= 20_000
        assert (data["output_omitted"], data["output"]) == (omitted, None if omitted else orjson.loads(output))
        assert data["urls"]["self"].endswith(f"/v1/jobs/{job}")
        assert data["handler"] == "debug.echo"


async def test_a_failed_job_says_why(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    await bench.register(tenant)
    jobs = bench.adapters.jobs
    assert isinstance(jobs, FirestoreJobs)
    job = bench.job_id(tenant)
    spec = JobSpec(job, tenant, "debug.echo", "default", b"1", 1, 2, 30.0, 5)
    error = JobError(ErrorCode.HANDLER_ERROR, "x" * 40_000, retryable=False)
    await jobs.create(replace(Job.queued(spec), attempt=1, started_at=1).failed(error, at=2))
    await bench.publish(bench.event(tenant, "job.failed", job=job))
    [arrival] = await receiver.until(1)
    assert len(arrival.body) <= 20_000
    assert arrival.json["data"]["error"]["code"] == "handler_error"


async def test_starts_are_told_also_of_jobs_that_are_over_at_once(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    await bench.register(tenant, events={"job.started", "job.succeeded"})
    event = bench.event(tenant)
    job = event.data["id"]
    start = replace(event, id=f"{job}:job.started:1", type="job.started")
    await bench.publish(event, start, event)
    await bench.until_states(tenant, DeliveryState.DELIVERED, DeliveryState.DELIVERED)
    assert sorted(each.json["type"] for each in receiver.arrivals) == ["job.started", "job.succeeded"]


async def test_the_one_off_webhook_of_a_job(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    secret = await bench.tenant_secret(tenant)
    await bench.register(tenant, "/endpoint")
    hook = {"url": receiver.url("/once"), "events": ["job.succeeded"]}
    event = bench.event(tenant, webhook=hook)
    await bench.publish(event, event, bench.event(tenant, "job.failed", webhook=hook))
    [arrival] = await receiver.until(1, "/once")
    arrival.verify(secret)
    await bench.until_states(tenant, *[DeliveryState.DELIVERED] * 3)
    assert len(receiver.at("/once")) == 1
    assert receiver.at("/once")[0].message in {each.message for each in receiver.at("/endpoint")}


async def test_both_secrets_sign_while_a_rotation_lasts(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    endpoint = await bench.register(tenant)
    stored = await bench.adapters.endpoints.read(endpoint.id)
    assert stored is not None
    fresh = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    sealed = bench.sealer.seal(fresh.encode(), endpoint_place(endpoint.id))
    rotated = stored.value.with_secret(sealed, at=bench.adapters.clock.now(), overlap_seconds=60)
    gone = SealedSecret(bench.sealer.seal(draw_secret(os.urandom).encode(), endpoint_place(endpoint.id)), 1)
    await bench.adapters.endpoints.replace(replace(rotated, secrets=(*rotated.secrets, gone)), stored.version)
    await bench.publish(bench.event(tenant))
    [arrival] = await receiver.until(1)
    assert len(arrival.headers["webhook-signature"].split(" ")) == 2
    for secret in (fresh, bench.secrets[endpoint.id]):
        arrival.verify(secret)


async def test_custom_headers_go_along_and_ours_win(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    made = bench.endpoint(tenant, receiver.url())
    headers = orjson.dumps({"X-Key": "s3cret", "User-Agent": "evil"})
    made = replace(
        made, headers=frozenset({"x-key"}), sealed_headers=bench.sealer.seal(headers, endpoint_place(made.id))
    )
    await bench.adapters.endpoints.create(made)
    await bench.publish(bench.event(tenant))
    [arrival] = await receiver.until(1)
    assert (arrival.headers["x-key"], arrival.headers["user-agent"]) == ("s3cret", "Sluice-Webhooks/1")


async def test_a_failure_is_tried_again_under_the_same_id_with_a_new_time(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    endpoint = await bench.register(tenant)
    receiver.answers["/"] = status(500)
    await bench.publish(bench.event(tenant))
    await receiver.until(1)
    receiver.answers.clear()
    first, second = await receiver.until(2)
    assert 3.5 <= second.at - first.at <= 8.0
    assert (first.message, first.body) == (second.message, second.body)
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    second.verify(bench.secrets[endpoint.id])
    [done] = await bench.until_states(tenant, DeliveryState.DELIVERED)
    assert [(each.status, each.error) for each in done.attempts] == [(500, ErrorClass.STATUS), (200, None)]


@pytest.mark.parametrize("code", [301, 307, 308, 400, 404, 422, 429, 500, 503])
async def test_everything_but_a_success_is_tried_again_and_redirects_are_not_followed(
    bench: Bench, receiver: Receiver, code: int
) -> None:
    tenant = bench.new_tenant()
    await bench.register(tenant)
    receiver.answers["/"] = status(code, Location=receiver.url("/elsewhere"), Set_Cookie="a=b")
    await bench.publish(bench.event(tenant))
    await receiver.until(1)

    async def recorded() -> bool:
        return bool((await bench.log(tenant))[0].attempts)

    await until_true(recorded)
    [waiting] = await bench.log(tenant)
    assert waiting.state is DeliveryState.PENDING
    error = ErrorClass.REDIRECT if code < 400 else ErrorClass.STATUS
    assert [(each.status, each.error) for each in waiting.attempts] == [(code, error)]
    assert receiver.at("/elsewhere") == []


async def test_410_disables_the_endpoint_and_holds_what_is_for_it(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    endpoint = await bench.register(tenant)
    await bench.register(tenant, "/operators", events={"webhook.disabled"})
    receiver.answers["/"] = status(410)
    await bench.publish(bench.event(tenant))
    [told] = await receiver.until(1, "/operators")
    assert (told.json["type"], told.json["data"]["id"]) == ("webhook.disabled", endpoint.id)
    stored = await bench.adapters.endpoints.read(endpoint.id)
    assert stored is not None
    assert (stored.value.enabled, stored.value.disabled_by) == (False, DisabledBy.GONE)
    await bench.publish(bench.event(tenant), bench.event(tenant))
    await bench.until_states(tenant, *[DeliveryState.HELD] * 3, DeliveryState.DELIVERED)
    assert len(receiver.at("/")) == 1


async def test_what_was_held_comes_when_it_is_recovered_and_without_a_burst(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    endpoint = await bench.register(tenant)
    stored = await bench.adapters.endpoints.read(endpoint.id)
    assert stored is not None
    now = bench.adapters.clock.now()
    held = await bench.adapters.endpoints.replace(stored.value.disabled(DisabledBy.OWNER, at=now), stored.version)
    assert isinstance(held, Version)
    await bench.publish(*(bench.event(tenant) for _ in range(12)))
    await bench.until_states(tenant, *[DeliveryState.HELD] * 12)
    await bench.adapters.endpoints.replace(stored.value, held)
    request = {"id": endpoint.id, "since": now - 60_000, "until": bench.adapters.clock.now()}
    recover = replace(bench.event(tenant, "webhook.recover"), data=request)
    await bench.publish(recover, recover)
    arrivals = await receiver.until(12)
    await bench.until_states(tenant, *[DeliveryState.DELIVERED] * 12)
    assert len({each.message for each in arrivals}) == len(receiver.arrivals) == 12
    assert arrivals[-1].at - arrivals[0].at >= 1.5  # five a second


async def test_a_deleted_endpoints_deliveries_are_canceled(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    endpoint = await bench.register(tenant)
    receiver.answers["/"] = status(500)
    await bench.publish(bench.event(tenant))
    await receiver.until(1)
    stored = await bench.adapters.endpoints.read(endpoint.id)
    assert stored is not None
    await bench.adapters.endpoints.delete(endpoint, stored.version)
    await bench.until_states(tenant, DeliveryState.CANCELED)
    assert len(receiver.arrivals) == 1


async def test_a_test_comes_to_the_one_that_is_tested(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    endpoint = await bench.register(tenant, "/one", events=())
    await bench.register(tenant, "/two")
    await bench.publish(replace(bench.event(tenant, "webhook.test"), data={"id": endpoint.id}))
    [arrival] = await receiver.until(1, "/one")
    assert arrival.json["type"] == "webhook.test"
    await bench.until_states(tenant, DeliveryState.DELIVERED)


async def test_no_more_than_ten_in_flight_and_no_more_than_its_rate(bench: Bench, receiver: Receiver) -> None:
    tenant = bench.new_tenant()
    await bench.register(tenant)
    now = most = 0
    gate = asyncio.Event()

    async def slowly(request: object) -> object:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await gate.wait()
        now -= 1
        return await status(200)(request)  # type: ignore[arg-type]

    receiver.answers["/"] = slowly  # type: ignore[assignment]
    await bench.publish(*(bench.event(tenant) for _ in range(80)))
    await receiver.until(10)
    gate.set()
    await bench.until_states(tenant, *[DeliveryState.DELIVERED] * 80)
    assert most == 10
    arrivals = receiver.arrivals
    assert len(arrivals) == 80
    assert arrivals[-1].at - arrivals[10].at >= (80 - 50 - 1) / 25 - 1.0


async def test_a_batch_that_is_over_is_told_to_endpoints_and_to_its_own_webhook(
    bench: Bench, receiver: Receiver
) -> None:
    tenant, now = bench.new_tenant(), bench.adapters.clock.now()
    await bench.tenant_secret(tenant)
    await bench.register(tenant, "/all", events={"batch.completed", "batch.expired"})
    await bench.register(tenant, "/jobs", events={"job.succeeded"})
    id = bench.ids.issue("bat", tenant, created_at=now, lifetime_ms=86_400_000).text
    hook = JobWebhook(receiver.url("/own"), frozenset({"batch.completed"}))
    spec = BatchSpec(id, tenant, "text.stats", "q", now, now + 1_000, 1.0, 1, webhook=hook)
    sealed = Batch(spec).sealed(1, at=now)
    over = sealed.merged(Items(succeeded=1)).concluded(at=now)
    await bench.publish(
        sealed_event(sealed, source="gateway"),
        deadline_event(spec, source="gateway"),
        *[end_event(over, source="aggregator")] * 3,
    )
    await bench.until_states(tenant, *[DeliveryState.DELIVERED] * 2)
    assert sorted(each.path for each in receiver.arrivals) == ["/all", "/own"]
    for each in receiver.arrivals:
        assert (each.json["type"], each.json["data"]["id"]) == ("batch.completed", id)
        assert each.json["data"]["urls"]["self"].endswith(f"/v1/batches/{id}")
