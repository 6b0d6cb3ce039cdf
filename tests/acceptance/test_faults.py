"""What users notice of faults: nothing lost, nothing wrong, and answers where answers are possible."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from deploy.local.system import System
from tests.acceptance.client import ApiClient

CANARY = f"canary{secrets.token_hex(12)}"


@asynccontextmanager
async def frozen(system: System, *names: str) -> AsyncIterator[None]:
    """The named processes stand still inside the block, their connections open."""
    for name in names:
        await system.processes[name].freeze()
    try:
        yield
    finally:
        for name in names:
            await system.processes[name].thaw()


async def test_a_forged_id_is_404_while_no_backend_answers(api: ApiClient, system: System) -> None:
    real = (await api.result("debug.echo", 1))["id"]
    forged = real[:-1] + ("0" if real[-1] != "0" else "1")
    async with asyncio.timeout(20), frozen(system, "redis", "firestore"):
        answers = await asyncio.gather(*(api.get(forged) for _ in range(20)))
        known = await api.get(real)
    assert {answer.status for answer in answers} == {404}
    assert known.status == 200


async def test_redis_killed_and_restarted_while_jobs_run_loses_nothing(api: ApiClient, system: System) -> None:
    ids = [(await api.submit("debug.sleep", {"seconds": 1 + n % 3})).json["id"] for n in range(30)]
    waiting = [asyncio.create_task(api.over(id)) for id in ids]
    await system.processes["redis"].kill()
    while_down = [await api.submit("debug.echo", n) for n in range(5)]
    assert {answer.status for answer in while_down} == {202}
    assert (await api.get(ids[0])).status == 200
    await system.processes["redis"].start()
    jobs = await asyncio.gather(*waiting, *(api.over(answer.json["id"]) for answer in while_down))
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert {job["attempt"] for job in jobs} == {1}
    await _ready(api)


async def test_a_job_of_a_killed_worker_finishes_once_on_another(api: ApiClient, system: System) -> None:
    ids = [(await api.submit("debug.sleep", {"seconds": 3})).json["id"] for _ in range(10)]
    await asyncio.gather(*(_until_running(api, id) for id in ids))
    victim = system.processes["worker-1"]
    await victim.kill()
    jobs = await asyncio.gather(*(api.over(id) for id in ids))
    assert {(job["status"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
    bodies = [(await api.get(id)).body for id in ids]
    await victim.start()
    assert bodies == [(await api.get(id)).body for id in ids]


async def test_the_broker_frozen_refuses_within_the_deadline_and_reads_go_on(api: ApiClient, system: System) -> None:
    done = await api.result("debug.echo", "before")
    async with frozen(system, "pubsub"):
        answer = await api.submit("debug.echo", "meanwhile")
        read = await api.get(done["id"])
    assert answer.status == 503
    assert answer.json["accepted"] in {False, "unknown"}
    assert int(answer.headers["Retry-After"]) >= 1
    assert read.json == done
    assert (await api.result("debug.echo", "after"))["output"] == "after"


async def test_the_store_frozen_leaves_accepting_and_what_is_cached(api: ApiClient, system: System) -> None:
    done = await api.result("debug.echo", "before")
    async with frozen(system, "firestore"):
        accepted = await api.submit("debug.echo", "meanwhile")
        read = await api.get(done["id"])
    assert accepted.status == 202
    assert read.json == done
    assert (await api.over(accepted.json["id"]))["output"] == "meanwhile"


async def test_no_input_output_or_secret_reaches_a_log_or_metric(
    api: ApiClient, system: System, session: aiohttp.ClientSession
) -> None:
    await api.result("debug.echo", {CANARY: CANARY})
    await api.result("debug.fail", {"message": CANARY}, max_attempts=1)
    await api.submit("debug.sleep", {"seconds": CANARY})
    await api.submit("text.stats", {"text": CANARY, CANARY: 1})
    metrics = [await _metrics(session, port) for port in system.admin_ports.values()]
    logs = [path.read_text() for path in system.service_logs()]
    assert all("sluice" in text for text in logs)
    for text in (*metrics, *logs):
        assert CANARY not in text
        assert api.token not in text
        assert not re.search(r"sk_acme_\w+", text)


async def _metrics(session: aiohttp.ClientSession, port: int) -> str:
    async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
        return await response.text()


async def _until_running(api: ApiClient, id: str) -> None:
    etag = '"0"'
    while True:
        answer = await api.get(id, wait=20, etag=etag)
        if answer.status == 200 and answer.json["status"] == "running":
            return
        etag = answer.headers["ETag"]


async def _ready(api: ApiClient) -> None:
    async with asyncio.timeout(30):
        while (await api.request("GET", "/readyz")).json["checks"]["cache"] != "ok":
            await asyncio.sleep(0.1)
