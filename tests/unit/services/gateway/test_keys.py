"""Keys: nobody gets more than they have, nobody sees another tenant's, and a secret is shown once."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.access.auth import Authenticator
from services.gateway.http.paging import Cursors
from services.gateway.operators.keys import KeyRoutes
from shared.clock import ManualClock, rfc3339
from shared.ids import IdKeys
from shared.models.key import MAX_OVERLAP_SECONDS, OVERLAP_SECONDS, SCOPES, ApiKey
from shared.storage.memory import MemoryDatabase, MemoryKeys
from tests.unit.services.gateway.asking import answered, request

OPERATOR = ApiKey("boss", "acme", b"", frozenset({"operator", "jobs:read", "jobs:write"}))
SYSTEM = ApiKey("root", "sluice", b"", SCOPES)
HOLD = {"scopes": ["jobs:read"]}


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        self.keys = MemoryKeys(self.database)
        self.authenticator = Authenticator(self.keys, self.clock)
        drawn = itertools.count(1)
        self.routes = KeyRoutes(
            self.keys,
            self.authenticator,
            Cursors(IdKeys({1: b"k" * 32})),
            self.clock,
            lambda count: next(drawn).to_bytes(count),
        )

    async def make(self, body: Any = None, by: ApiKey = OPERATOR) -> tuple[int, Any]:
        return await answered(self.routes.create, by, request("POST", body=HOLD if body is None else body))

    async def made(self, by: ApiKey = OPERATOR, **fields: Any) -> dict[str, Any]:
        status, key = await self.make({**HOLD, **fields}, by)
        assert status == 201, key
        return dict(key)

    async def get(self, id: str, by: ApiKey = OPERATOR) -> tuple[int, Any]:
        return await answered(self.routes.get, by, request(id=id))

    async def revoke(self, id: str, by: ApiKey = OPERATOR) -> tuple[int, Any]:
        return await answered(self.routes.revoke, by, request("DELETE", id=id))

    async def rotate(self, id: str, by: ApiKey = OPERATOR, body: Any = None) -> tuple[int, Any]:
        return await answered(self.routes.rotate, by, request("POST", body=body, id=id))

    async def page(self, by: ApiKey = OPERATOR, **query: str) -> tuple[int, Any]:
        return await answered(self.routes.page, by, request(path="/v1/keys", query=query))

    async def opens(self, secret: str) -> bool:
        key = await self.authenticator.authenticate(f"Bearer {secret}", "")
        return key.id in secret


async def test_a_key_that_was_made_opens_and_is_kept_without_its_secret() -> None:
    b = Bench()
    key = await b.made(name="reports", requests_per_second=5, burst=9)
    assert await b.opens(key.pop("secret"))
    assert key == {
        "id": key["id"],
        "tenant": "acme",
        "name": "reports",
        "scopes": ["jobs:read"],
        "requests_per_second": 5,
        "burst": 9,
        "created_at": rfc3339(b.clock.now()),
        "expires_at": None,
        "revoked_at": None,
        "previous_secret_until": None,
    }
    assert await b.get(key["id"]) == (200, key)
    assert await b.page() == (200, {"data": [key], "next": None})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"scopes": []}, 400),
        ({"scopes": "jobs:read"}, 400),
        ({"scopes": ["jobs:read", "jobs:read"]}, 400),
        ({"scopes": ["jobs:fly"]}, 400),
        ({**HOLD, "name": 1}, 400),
        ({**HOLD, "name": "x" * 101}, 400),
        ({**HOLD, "tenant": "A"}, 400),
        ({**HOLD, "secret": "mine"}, 400),
        ({**HOLD, "requests_per_second": 0}, 422),
        ({**HOLD, "burst": 200_001}, 422),
        ({**HOLD, "expires_at": "tomorrow"}, 400),
        ({**HOLD, "expires_at": "2020-01-01T00:00:00Z"}, 422),
        ({**HOLD, "expires_at": "9999-12-31T23:59:59Z"}, 422),
        ({"scopes": ["system"]}, 403),
        ({"scopes": ["jobs:read", "webhooks"]}, 403),
        ({**HOLD, "tenant": "globex"}, 403),
        ([], 400),
    ],
)
async def test_what_cannot_be_made_is_not_made(body: Any, status: int) -> None:
    b = Bench()
    assert (await b.make(body))[0] == status
    assert (await b.page())[1]["data"] == []


async def test_a_key_expires_when_it_was_said() -> None:
    b = Bench()
    key = await b.made(expires_at=rfc3339(b.clock.now() + 60_000))
    assert await b.opens(key["secret"])
    await b.clock.advance(60)
    assert b.authenticator.known(f"Bearer {key['secret']}") is None


async def test_system_makes_keys_for_any_tenant_with_any_scope() -> None:
    b = Bench()
    key = await b.made(SYSTEM, tenant="globex", scopes=sorted(SCOPES))
    assert (key["tenant"], key["scopes"]) == ("globex", sorted(SCOPES))


async def test_keys_of_another_tenant_are_as_if_they_were_not() -> None:
    b = Bench()
    foreign = await b.made(SYSTEM, tenant="globex")
    nothing = await b.get("k0")
    assert nothing[0] == 404
    for id in (foreign["id"], "k0", "no key id", "x" * 65):
        assert await b.get(id) == await b.revoke(id) == await b.rotate(id) == nothing
    assert await b.opens(foreign["secret"])
    assert (await b.page())[1]["data"] == []
    assert (await b.page(tenant="globex"))[0] == 403


async def test_system_sees_all_keys_or_a_tenants() -> None:
    b = Bench()
    mine, foreign = await b.made(), await b.made(SYSTEM, tenant="globex")
    assert [key["id"] for key in (await b.page(SYSTEM))[1]["data"]] == [mine["id"], foreign["id"]]
    assert [key["id"] for key in (await b.page(SYSTEM, tenant="acme"))[1]["data"]] == [mine["id"]]
    assert (await b.get(mine["id"], SYSTEM))[0] == 200


async def test_pages_follow_each_other_by_cursors_that_are_good_for_no_other_list() -> None:
    b = Bench()
    ids = [(await b.made())["id"] for _ in range(5)]
    found, query = [], {"limit": "2"}
    page: dict[str, Any] = {}
    for _ in range(3):
        _, page = await b.page(OPERATOR, **query)
        found += [key["id"] for key in page["data"]]
        query = {"limit": "2", "cursor": page["next"]}
    assert (found, page["next"]) == (sorted(ids), None)
    _, first = await b.page(limit="2")
    assert (await b.page(SYSTEM, cursor=first["next"]))[0] == 400
    assert (await b.page(cursor=first["next"][:-1]))[0] == 400
    assert [(await b.page(limit=limit))[0] for limit in ("0", "101", "x", "")] == [422, 422, 400, 400]
    assert (await b.page(colour="blue"))[0] == 400


async def test_a_revoked_key_opens_no_more_and_is_still_seen() -> None:
    b = Bench()
    key = await b.made()
    assert await b.opens(key["secret"])
    assert await b.revoke(key["id"]) == (204, None)
    assert b.authenticator.known(f"Bearer {key['secret']}") is None
    revoked_at = (await b.get(key["id"]))[1]["revoked_at"]
    assert revoked_at == rfc3339(b.clock.now())
    await b.clock.advance(60)
    assert await b.revoke(key["id"]) == (204, None)
    assert (await b.get(key["id"]))[1]["revoked_at"] == revoked_at


async def test_a_key_with_system_is_revoked_by_system_alone() -> None:
    b = Bench()
    key = await b.made(SYSTEM, tenant="acme", scopes=["system"])
    assert (await b.revoke(key["id"]))[0] == 403
    assert (await b.revoke(key["id"], SYSTEM))[0] == 204


async def test_any_other_key_of_its_tenant_is_revoked_by_an_operator() -> None:
    b = Bench()
    key = await b.made(SYSTEM, tenant="acme", scopes=["webhooks"])
    assert (await b.revoke(key["id"]))[0] == 204


async def test_rotating_shows_a_new_secret_beside_which_the_old_one_is_good_for_a_day() -> None:
    b = Bench()
    key = await b.made()
    status, rotated = await b.rotate(key["id"])
    assert status == 200
    assert rotated["secret"] != key["secret"]
    assert rotated["previous_secret_until"] == rfc3339(b.clock.now() + OVERLAP_SECONDS * 1_000)
    assert await b.opens(key["secret"])
    assert await b.opens(rotated["secret"])
    await b.clock.advance(OVERLAP_SECONDS)
    assert (await b.get(key["id"]))[1]["previous_secret_until"] is None
    assert b.authenticator.known(f"Bearer {key['secret']}") is None
    assert await b.opens(rotated["secret"])


async def test_an_overlap_can_be_said() -> None:
    b = Bench()
    key = await b.made()
    _, rotated = await b.rotate(key["id"], body={"overlap_seconds": 60})
    assert rotated["previous_secret_until"] == rfc3339(b.clock.now() + 60_000)
    _, rotated = await b.rotate(key["id"], body={"overlap_seconds": 0})
    assert rotated["previous_secret_until"] is None
    for body, status in (({"overlap_seconds": MAX_OVERLAP_SECONDS + 1}, 422), ({"overlap": 1}, 400), ([], 400)):
        assert (await b.rotate(key["id"], body=body))[0] == status


async def test_who_lacks_a_scope_of_a_key_gets_no_secret_of_it() -> None:
    b = Bench()
    key = await b.made(SYSTEM, tenant="acme", scopes=["system"])
    assert (await b.rotate(key["id"]))[0] == 403
    assert (await b.rotate(key["id"], replace(OPERATOR, scopes=SCOPES)))[0] == 200


@pytest.mark.parametrize("ended", ["revoked", "expired"])
async def test_what_is_over_is_not_rotated(ended: str) -> None:
    b = Bench()
    key = await b.made(expires_at=rfc3339(b.clock.now() + 1_000))
    await (b.revoke(key["id"]) if ended == "revoked" else b.clock.advance(1))
    assert (await b.rotate(key["id"]))[0] == 409


async def test_a_revocation_that_comes_in_between_is_not_undone() -> None:
    b = Bench()
    key = await b.made()
    stored = await b.keys.read(key["id"])
    assert stored is not None
    await b.keys.put(stored.value.revoked(at=b.clock.now()))
    changed = await b.routes._change(request(id=key["id"]), OPERATOR, stored, lambda found: replace(found, name="new"))
    assert (changed.name, changed.revoked_at) == ("new", b.clock.now())
