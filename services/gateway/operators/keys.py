"""The endpoints of API keys: a tenant's operator makes, lists, rotates and revokes its own; `system` everyone's.

A key is never stored with its secret, and shown with it once. Who makes a key, or a new secret for one, must have every
scope that it has: else keys would be a way to more than one may.
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson
from aiohttp import web

from services.gateway.access.auth import Authenticator
from services.gateway.access.tenants import seen_tenant
from services.gateway.http.asking import nothing_else, small_object
from services.gateway.http.paging import Cursors, check_query, page_answer, page_of
from services.gateway.http.problems import FORBIDDEN, KEY_REVOKED, Problem, not_found, unavailable
from services.gateway.operators.key_requests import KeyRequest, parse_key, parse_rotation
from shared.clock import Clock
from shared.models.key import KEY_ID, ApiKey, KeyToken, draw_key_id, draw_token, shown
from shared.storage.contract import Conflict, KeyRing, Stored

MAX_ROUNDS = 5
"""Of reading and writing again, while others change the same key."""

Change = Callable[[ApiKey], ApiKey]


@dataclass(frozen=True, slots=True)
class KeyRoutes:
    """entropy: returns that many random bytes."""

    ring: KeyRing
    authenticator: Authenticator
    cursors: Cursors
    clock: Clock
    entropy: Callable[[int], bytes]

    async def create(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/keys`."""
        body = await small_object(request)
        now = self.clock.now()
        wanted, secret = self._drawn(parse_key(body, now=now), by=key, at=now)
        if isinstance(await self.ring.create(wanted), Conflict):
            raise unavailable("The key was not made.")  # of 64 random bits, or a write that we took for lost
        return _answer(shown(wanted, now=now, secret=secret), status=201, location=f"/v1/keys/{wanted.id}")

    async def page(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/keys`."""
        tenant, now = seen_tenant(request.query.get("tenant"), key), self.clock.now()
        listing = f"keys of {tenant or 'all'}"
        page = page_of(request, self.cursors, listing, filters=["tenant"])
        found = await self.ring.page(tenant, after=page.after, limit=page.limit + 1)
        data = found[: page.limit]
        more = self.cursors.seal(listing, data[-1].id) if len(found) > page.limit else None
        return page_answer(request, [shown(each, now=now) for each in data], more)

    async def get(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/keys/{id}`."""
        check_query(request, ())
        stored = await self._find(request, key)
        return _answer(shown(stored.value, now=self.clock.now()))

    async def revoke(self, request: web.Request, key: ApiKey) -> web.Response:
        """`DELETE /v1/keys/{id}`: good for nothing from now on; it stays to be seen."""
        await nothing_else(request)
        stored = await self._find(request, key)
        if "system" in stored.value.scopes and "system" not in key.scopes:
            raise Problem(FORBIDDEN, "A key with the scope system is revoked by one that has it.")
        await self._change(request, key, stored, lambda found: found.revoked(at=self.clock.now()))
        return web.Response(status=204)

    async def rotate(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/keys/{id}/rotate`: a new secret; the old one stays good for a while."""
        overlap = parse_rotation(await small_object(request))
        stored = await self._find(request, key)
        _check_scopes(stored.value.scopes, by=key)
        secret = draw_token(stored.value.id, self.entropy)
        now = self.clock.now()

        def rotated(found: ApiKey) -> ApiKey:
            if not found.usable(now):
                raise Problem(KEY_REVOKED, "The key is revoked or has expired; make a new one.")
            return found.rotated(_hash(secret), at=now, overlap_seconds=overlap)

        changed = await self._change(request, key, stored, rotated)
        return _answer(shown(changed, now=now, secret=secret))

    def _drawn(self, asked: KeyRequest, *, by: ApiKey, at: int) -> tuple[ApiKey, str]:
        """The key that is asked for, and its secret."""
        if asked.tenant not in {None, by.tenant} and "system" not in by.scopes:
            raise Problem(FORBIDDEN, "Only a key with the scope system makes keys of another tenant.")
        _check_scopes(asked.scopes, by=by)
        id = draw_key_id(self.entropy)
        secret = draw_token(id, self.entropy)
        made = ApiKey(
            id=id,
            tenant=asked.tenant or by.tenant,
            secret_sha256=_hash(secret),
            scopes=asked.scopes,
            requests_per_second=asked.requests_per_second,
            burst=asked.burst,
            expires_at=asked.expires_at,
            name=asked.name,
            created_at=at,
        )
        return made, secret

    async def _find(self, request: web.Request, key: ApiKey) -> Stored[ApiKey]:
        """The key of the path. Raises Problem 404 if there is none, or none of that tenant."""
        id = request.match_info["id"]
        stored = await self.ring.read(id) if KEY_ID.fullmatch(id) else None
        if stored is None or (stored.value.tenant != key.tenant and "system" not in key.scopes):
            raise not_found()
        return stored

    async def _change(self, request: web.Request, key: ApiKey, stored: Stored[ApiKey], change: Change) -> ApiKey:
        """Write what `change` makes of the key, and of what others make of it meanwhile."""
        for _ in range(MAX_ROUNDS):
            wanted = change(stored.value)
            if wanted == stored.value or not isinstance(await self.ring.replace(wanted, stored.version), Conflict):
                self.authenticator.forget(wanted.id)
                return wanted
            stored = await self._find(request, key)
        raise unavailable("Others are changing the key.")


def _check_scopes(scopes: frozenset[str], *, by: ApiKey) -> None:
    beyond = sorted(scopes - by.scopes)
    if beyond:
        raise Problem(FORBIDDEN, f"Your own key lacks what the key would have: {', '.join(beyond)}.")


def _hash(secret: str) -> bytes:
    token = KeyToken.parse(secret)
    assert token is not None
    return token.secret_sha256


def _answer(body: object, *, status: int = 200, location: str = "") -> web.Response:
    headers = {"Cache-Control": "no-store", **({"Location": location} if location else {})}
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)
