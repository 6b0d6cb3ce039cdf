"""The served description is true: of scopes, of other tenants' things, and of whatever else anybody may send."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.system import System
from tests.acceptance.client import Answer, ApiClient, Json

METHODS = ("get", "put", "post", "delete", "patch")
SCOPES = ("jobs:read", "jobs:write", "webhooks", "operator", "system")
HOLDERS = {"operator": {"operator", "system"}}
"""Scopes that hold others."""


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    scope: str | None
    """None: no key; empty: any key."""

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    async def call(self, client: ApiClient, **names: str) -> Answer:
        path = self.path.format_map({"id": "unknown", "name": "unknown", **names})
        return await client.request(self.method, path)


def operations(document: Json) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                security = item[method]["security"]
                scope = None if not security else next(iter(security[0]["key"]), "")
                yield Operation(method, path, scope)


@pytest_asyncio.fixture(scope="module")
async def document(system: System, session: aiohttp.ClientSession, api: ApiClient) -> Json:
    """As the gateway serves it, to anyone."""
    await api.result("debug.echo", 1)  # so that it knows the handlers
    async with session.get(f"{system.base_url}/openapi.json") as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        found: Json = await response.json()
    return found


@pytest_asyncio.fixture(scope="module")
async def without(system: System, session: aiohttp.ClientSession, api: ApiClient) -> Mapping[str, ApiClient]:
    """By scope, a client that has every one but it."""
    found = {}
    for scope in SCOPES:
        left = [each for each in SCOPES if each not in HOLDERS.get(scope, {scope})]
        answer = await api.request("POST", "/v1/keys", json={"name": f"without {scope}", "scopes": left})
        assert answer.status == 201, answer.body
        found[scope] = ApiClient(session, system.base_url, answer.json["secret"])
    return found


async def test_without_a_good_key_every_operation_that_takes_one_is_401(
    document: Json, system: System, session: aiohttp.ClientSession, api: ApiClient
) -> None:
    keyed = [each for each in operations(document) if each.scope is not None]
    assert len(keyed) > 10

    async def refused(operation: Operation, headers: Mapping[str, str]) -> None:
        path = operation.path.format_map({"id": "unknown", "name": "unknown"})
        async with session.request(operation.method, system.base_url + path, headers=headers) as response:
            assert response.status == 401, (str(operation), headers)
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert (await response.json(content_type=None))["type"] == "/problems/unauthenticated"

    bad: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": f"Bearer {api.token[:-1]}x"},  # waits for a look at the key, which all of them share
        {"Authorization": "Basic YTpi"},
    )
    await asyncio.gather(*(refused(operation, headers) for operation in keyed for headers in bad))


async def test_without_its_scope_every_operation_is_403_and_with_it_is_not(
    document: Json, api: ApiClient, without: Mapping[str, ApiClient]
) -> None:
    scoped = [each for each in operations(document) if each.scope]
    assert {each.scope for each in scoped} == set(SCOPES)
    for operation in scoped:
        assert operation.scope is not None
        refused = await operation.call(without[operation.scope])
        assert (refused.status, refused.json["type"]) == (403, "/problems/forbidden"), str(operation)
        for scope, client in without.items():
            if operation.scope not in HOLDERS.get(scope, {scope}):
                assert (await operation.call(client)).status not in {401, 403}, (str(operation), scope)


async def test_any_good_key_may_do_what_needs_no_scope(document: Json, without: Mapping[str, ApiClient]) -> None:
    for operation in operations(document):
        if operation.scope == "":
            for client in without.values():
                assert (await operation.call(client)).status in {200, 404}, str(operation)


async def test_what_needs_no_key_takes_none(document: Json, system: System, session: aiohttp.ClientSession) -> None:
    names = {"asset": "pages.css", "slug": "gone"}
    for operation in operations(document):
        if operation.scope is None:
            async with session.get(system.base_url + operation.path.format_map(names)) as response:
                assert response.status == 200, str(operation)


async def test_what_belongs_to_another_tenant_is_404_like_what_does_not_exist(
    document: Json, api: ApiClient, foreign: ApiClient, without: Mapping[str, ApiClient]
) -> None:
    made = await foreign.request("POST", "/v1/keys", json={"scopes": ["jobs:read"]})
    hook = (await foreign.request("POST", "/v1/webhooks", json={"url": "http://localhost:1/"})).json["id"]
    tested = await foreign.request("POST", f"/v1/webhooks/{hook}/test")
    batch = await foreign.request("POST", "/v1/batches", json={"handler": "debug.echo", "inputs": [1]})
    ids = {
        "/v1/batches/": batch.json["id"],
        "/v1/jobs/": (await foreign.result("debug.echo", 1))["id"],
        "/v1/keys/": made.json["id"],
        "/v1/webhooks/": hook,
        "/v1/deliveries/": tested.json["delivery"],
    }
    reader = without["system"]  # who has it may see the keys of every tenant
    of_things = [each for each in operations(document) if "{id}" in each.path]
    assert len(of_things) >= 2
    for operation in of_things:
        [id] = [id for prefix, id in ids.items() if operation.path.startswith(prefix)]
        there, nowhere = await operation.call(reader, id=id), await operation.call(reader, id="unknown")
        assert there.status == nowhere.status == 404, str(operation)
        assert {**there.json, "instance": ""} == {**nowhere.json, "instance": ""}, str(operation)
    async with asyncio.timeout(20):
        for prefix, id in ids.items():
            while (await foreign.request("GET", prefix + id)).status != 200:
                assert prefix == "/v1/deliveries/", prefix  # its message may be on its way
                await asyncio.sleep(0.05)
    await foreign.request("DELETE", f"/v1/webhooks/{hook}")


async def test_the_description_is_told_apart_by_its_etag(system: System, session: aiohttp.ClientSession) -> None:
    address = f"{system.base_url}/openapi.json"
    async with session.get(address) as response:
        tag = response.headers["ETag"]
    async with session.get(address, headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")


@pytest_asyncio.fixture
async def things(api: ApiClient) -> AsyncIterator[Mapping[str, Iterator[str]]]:
    """Real names for paths, by a part of method and path, without end; whatever is done to them is undone."""
    finished = [(await api.result("debug.echo", n))["id"] for n in range(4)]
    delayed = [(await api.submit("debug.echo", n, delay_seconds=3_600)).json["id"] for n in range(4)]
    made = [await api.request("POST", "/v1/keys", json={"scopes": ["jobs:read"]}) for _ in range(4)]
    keys = [answer.json["id"] for answer in made]
    batch = (await api.request("POST", "/v1/batches", json={"handler": "debug.echo", "inputs": [1, 2]})).json["id"]
    yield {
        "/v1/batches/": itertools.cycle([batch]),
        "DELETE /v1/jobs/": itertools.cycle([finished[0], delayed[0]]),
        "DELETE /v1/keys/": itertools.cycle(keys[:2]),
        "/events": itertools.cycle(finished[1:]),  # the others' have no end
        "/v1/jobs/": itertools.cycle([*finished[1:], *delayed[1:]]),
        "/v1/keys/": itertools.cycle(keys[1:]),
        "/v1/handlers/": itertools.cycle(["text.stats"]),
        "/v1/queues/": itertools.cycle(["images"]),
        "/docs/": itertools.cycle(["docs.js", "swagger-ui.css"]),
        "/problems/": itertools.cycle(["gone"]),
    }
    for queue in (await api.request("GET", "/v1/queues")).json["data"]:
        await api.request("POST", f"/v1/queues/{queue['name']}/resume")
    for id in delayed:
        await api.request("POST", f"/v1/jobs/{id}/cancel")


@pytest.mark.timeout(180)
async def test_whatever_is_sent_is_answered_as_described(
    document: Json, system: System, api: ApiClient, things: Mapping[str, Iterator[str]]
) -> None:
    """Data made of the description, with a fixed seed: nothing fails, and no status or body is other than described."""
    from tests.acceptance.fuzzing import Fuzz  # late: every process reads this file, and one runs this test

    fuzz = Fuzz(document, system.base_url, api.token, things)
    await asyncio.to_thread(fuzz.run)
    statuses = {status for _, status in fuzz.seen}
    assert {label for label, _ in fuzz.seen} == {str(each) for each in operations(document)}
    assert {200, 201, 202, 204, 304, 400, 401, 404, 409, 422} <= statuses
