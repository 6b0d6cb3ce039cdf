"""What a tenant does about webhooks, over HTTP."""

from dataclasses import dataclass
from typing import Any, Final

from tests.acceptance.client import Answer, ApiClient, Json
from tests.integration.webhooks.receiver import until_true

OPEN: Final = {"pending", "sending"}


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a tenant does about webhooks. It leaves nothing behind."""

    api: ApiClient
    made: list[str]

    async def create(self, url: str, **fields: Any) -> Json:
        answer = await self.api.request("POST", "/v1/webhooks", json={"url": url, **fields})
        assert answer.status == 201, answer.body
        self.made.append(answer.json["id"])
        assert answer.headers["Location"] == f"/v1/webhooks/{answer.json['id']}"
        return dict(answer.json)

    async def act(self, id: str, act: str, **body: Any) -> Answer:
        return await self.api.request("POST", f"/v1/webhooks/{id}/{act}", json=body)

    async def log(self, id: str, **query: str) -> list[Json]:
        answer = await self.api.request("GET", f"/v1/webhooks/{id}/deliveries", params=query)
        assert answer.status == 200, answer.body
        return list(answer.json["data"])

    async def until_over(self, id: str, count: int) -> list[Json]:
        found: list[Json] = []

        async def over() -> bool:
            found[:] = await self.log(id)
            return len(found) >= count and not any(each["state"] in OPEN for each in found)

        await until_true(over)
        return found
