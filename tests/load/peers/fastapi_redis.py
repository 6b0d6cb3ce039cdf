"""Reading a finished job from Redis behind an API key, as a team would write it: FastAPI, uvicorn, redis-py.

Run by `rows.p1`: `uvicorn tests.load.peers.fastapi_redis:app`. It checks the key against its hash, as Sluice does, and
is spared the rate limit. Reads LOAD_REDIS_URL and LOAD_KEYS.
"""

# mypy: disable-error-code="import-not-found"
# FastAPI may be missing where this is checked.

import os
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Response
from redis.asyncio import Redis

from tests.load.peers.keys import authenticate

redis = Redis.from_url(os.environ["LOAD_REDIS_URL"])


async def ready() -> dict[str, bool]:
    """Whether Redis answers."""
    return {"ready": bool(await redis.ping())}


async def job(id: str, authorization: Annotated[str, Header()]) -> Response:
    """The finished job, as stored."""
    authenticate(authorization)
    body = await redis.get(f"job:{id}")
    if body is None:
        raise HTTPException(404)
    return Response(body, media_type="application/json")


app = FastAPI()
app.add_api_route("/ready", ready)
app.add_api_route("/v1/jobs/{id}", job)
