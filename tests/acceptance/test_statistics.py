"""What operators see of the work that was done, and a batch from the post to its end, over HTTP."""

import asyncio
from dataclasses import replace
from typing import Any

from tests.acceptance.client import ApiClient, Json

HANDLER = "text.stats"
SECONDS = 60.0


async def rows(api: ApiClient, query: str = "") -> list[Json]:
    answer = await api.request("GET", f"/v1/stats?handler={HANDLER}{query}")
    assert answer.status == 200, answer.body
    assert answer.json["approximate"] is True
    data: list[Json] = answer.json["data"]
    return data


async def total(api: ApiClient, name: str, query: str = "") -> int:
    return sum(row[name] for row in await rows(api, query))


async def until(api: ApiClient, more: dict[str, int]) -> None:
    """Return once each of these counts is at least so high. Gateways tell of what was asked every ten seconds."""
    async with asyncio.timeout(SECONDS):
        while any([await total(api, name) < count for name, count in more.items()]):
            await asyncio.sleep(0.5)


async def test_a_batch_is_over_with_exact_counts_and_all_of_it_is_in_the_statistics(api: ApiClient) -> None:
    before = {name: await total(api, name) for name in ("submitted", "succeeded")}
    inputs: list[Any] = [{"text": f"one two {number}"} for number in range(120)]
    posted = await api.request("POST", "/v1/batches", json={"handler": HANDLER, "inputs": inputs})
    assert posted.status == 202, posted.body
    batch = posted.json
    for _ in range(4):
        if batch["status"] in {"open", "running"}:
            waiting = await api.request("GET", batch["urls"]["self"], headers={"Prefer": "wait=30"})
            batch = waiting.json
    assert batch["status"] == "completed"
    assert batch["counts"] == {
        "total": 120,
        "queued": 0,
        "running": 0,
        "succeeded": 120,
        "failed": 0,
        "canceled": 0,
        "expired": 0,
    }
    await api.result(HANDLER, {"text": "alone"}, cache="off")
    await until(api, {"submitted": before["submitted"] + 121, "succeeded": before["succeeded"] + 121})
    row = max(await rows(api), key=lambda each: each["succeeded"])
    assert row["run_seconds"]["count"] >= 100
    assert 0 <= row["run_seconds"]["p50"] <= row["run_seconds"]["p99"] < 60


async def test_a_hit_is_counted_and_the_handler_shows_how_long_it_takes(api: ApiClient) -> None:
    before = await total(api, "cache_hits")
    for _ in range(3):
        await api.result(HANDLER, {"text": "said before"})
    await until(api, {"cache_hits": before + 2})
    async with asyncio.timeout(SECONDS):
        while (shown := (await api.request("GET", f"/v1/handlers/{HANDLER}")).json)["run_seconds_p50"] is None:
            await asyncio.sleep(0.5)
    assert 0 < shown["run_seconds_p50"] <= shown["run_seconds_p95"]


async def test_an_operator_sees_no_other_tenants(api: ApiClient, foreign: ApiClient) -> None:
    made = await foreign.request("POST", "/v1/keys", json={"name": "operator", "scopes": ["operator"]})
    operator = replace(foreign, token=made.json["secret"])
    await foreign.result(HANDLER, {"text": "elsewhere"})
    assert (await operator.request("GET", "/v1/stats?tenant=acme")).status == 403
    assert sum(row["succeeded"] for row in await rows(operator)) < 100
    assert (await total(api, "succeeded", "&tenant=acme")) >= 0
