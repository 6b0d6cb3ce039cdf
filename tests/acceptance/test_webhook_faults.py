"""Webhooks while what they depend on is killed or stands still: nothing is lost, and nothing waits long after it."""

import asyncio
from collections import Counter

from deploy.local.system import System
from shared.storage.firestore.limits import Limits
from tests.acceptance.client import ApiClient, Json
from tests.acceptance.hooking import OPEN, Hooks
from tests.acceptance.lives import frozen
from tests.integration.webhooks.receiver import Receiver, status, until, until_true

STORE_DEADLINE_SECONDS = Limits().deadline_seconds


async def test_a_webhooks_service_that_is_killed_loses_nothing(
    hooks: Hooks, api: ApiClient, system: System, receiver: Receiver
) -> None:
    made = await hooks.create(receiver.url("/hook"), labels={"test": "killed"})
    process = system.processes["webhooks-1"]
    jobs = [asyncio.create_task(api.result("debug.echo", n, labels={"test": "killed"})) for n in range(40)]
    await receiver.until(5, "/hook")
    await process.kill()
    ids = {(await job)["id"] for job in jobs}
    await process.start()
    await until(lambda: {each.json["data"]["id"] for each in receiver.at("/hook")} >= ids, within=90)
    assert {each["state"] for each in await hooks.until_over(made["id"], 40)} == {"delivered"}


async def test_redis_killed_and_restarted_mid_run_loses_no_delivery(
    hooks: Hooks, api: ApiClient, system: System, receiver: Receiver
) -> None:
    """delivered + exhausted + expired + held = accepted."""
    labels, redis = {"test": "redis"}, system.processes["redis"]
    receiver.answers |= {"/gone": status(410), "/nobody": status(410)}
    made = [await hooks.create(receiver.url(path), labels=labels) for path in ("/hook", "/gone")]
    await api.request("POST", "/v1/webhooks/secret/rotate", json={})
    once = {"url": receiver.url("/nobody")}
    jobs = [asyncio.create_task(api.result("debug.echo", n, labels=labels, webhook=once)) for n in range(30)]
    await receiver.until(5, "/hook")
    await redis.kill()
    jobs += [asyncio.create_task(api.result("debug.echo", n, labels=labels, webhook=once)) for n in range(10)]
    await receiver.until(20, "/hook")
    await redis.start()
    ids = {job["id"] for job in await asyncio.gather(*jobs)}
    states = Counter[str]()
    for each in made:
        states.update(found["state"] for found in await hooks.until_over(each["id"], len(ids)))
    for id in ids:
        states.update(await _ends_of_one_offs(api, id))
    assert states == {"delivered": len(ids), "held": len(ids), "exhausted": len(ids)}
    assert {each.json["data"]["id"] for each in receiver.at("/hook")} == ids


async def _ends_of_one_offs(api: ApiClient, job: str) -> list[str]:
    found: list[Json] = []

    async def over() -> bool:
        answer = await api.request("GET", "/v1/deliveries", params={"subject": job})
        found[:] = [each for each in answer.json["data"] if each["webhook"] is None]
        return bool(found) and not any(each["state"] in OPEN for each in found)

    await until_true(over)
    return [each["state"] for each in found]


async def test_what_is_asked_for_again_goes_out_at_once_after_the_store_stood_still(
    hooks: Hooks, api: ApiClient, system: System, receiver: Receiver
) -> None:
    made = await hooks.create(receiver.url("/hook"), labels={"test": "still"})
    await api.result("debug.echo", 1, labels={"test": "still"})
    [delivery] = await hooks.until_over(made["id"], 1)
    async with frozen(system, "firestore"):
        await asyncio.sleep(STORE_DEADLINE_SECONDS)  # looks at what is due wait for it so long, and fail
    again = await api.request("POST", f"/v1/deliveries/{delivery['id']}/redeliver")
    assert again.status == 202
    await receiver.until(2, "/hook", within=8)
