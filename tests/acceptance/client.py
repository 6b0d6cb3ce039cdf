"""A client as a user would write it: HTTP and nothing else."""

from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class ApiClient:
    session: aiohttp.ClientSession
    base_url: str
    token: str

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        async with self.session.request(method, self.base_url + path, headers=headers, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def submit(
        self, handler: str, input: Any, *, wait: int | None = None, key: str | None = None, **fields: Any
    ) -> Answer:
        """key: of the request's idempotency."""
        headers = ({"Prefer": f"wait={wait}"} if wait else {}) | ({} if key is None else {"Idempotency-Key": key})
        return await self.request(
            "POST", "/v1/jobs", json={"handler": handler, "input": input, **fields}, headers=headers
        )

    async def get(self, id: str, *, wait: int | None = None, etag: str | None = None) -> Answer:
        headers = ({"Prefer": f"wait={wait}"} if wait else {}) | ({"If-None-Match": etag} if etag else {})
        return await self.request("GET", f"/v1/jobs/{id}", headers=headers)

    async def result(self, handler: str, input: Any, **fields: Any) -> Json:
        """Submit, and ask until it is over."""
        job = (await self.submit(handler, input, wait=30, **fields)).json
        return await self.over(job["id"]) if job["status"] in {"queued", "running", "scheduled"} else job

    async def over(self, id: str) -> Json:
        """Wait until the job is terminal, at most three minutes."""
        job: Json = {}
        for _ in range(6):
            job = (await self.get(id, wait=30)).json
            if job["status"] not in {"queued", "running", "scheduled"}:
                return job
        raise AssertionError(f"{id} is still {job['status']}")
