"""Redis: whether it answers, and whether it may forget under pressure, which everything in it is made for."""

import re
from typing import Final

from deploy.admin.doctor.finding import Finding, fault, fine, skipped, warning
from shared.cache.redis.connection import Connection
from shared.errors import CacheUnavailable, Overloaded

ABOUT: Final = "Redis"
MAX_FULL: Final = 0.9


async def examine(cache: Connection) -> list[Finding]:
    try:
        await cache.ping()
        told = await cache.execute("INFO", "memory")
    except (CacheUnavailable, Overloaded) as error:
        return [fault(ABOUT, str(error), "nothing is lost or wrong, but slow: bring it back; look at the network")]
    text = told.decode() if isinstance(told, bytes) else ""
    return [fine(ABOUT, "answers"), _policy(text)]


def _policy(text: str) -> Finding:
    about = "eviction"
    policy, limit, used = (_field(text, name) for name in ("maxmemory_policy", "maxmemory", "used_memory"))
    if policy is None or limit is None or used is None:
        return skipped(about, "the server does not say")
    if not int(limit):
        return fine(about, "no limit of memory")
    if policy == "noeviction":
        return warning(about, "the policy is noeviction: a full cache refuses writes", "maxmemory-policy volatile-lru")
    if int(used) > MAX_FULL * int(limit):
        return warning(about, f"{int(used) / int(limit):.0%} of its memory is used", "a larger node")
    return fine(about, policy)


def _field(text: str, name: str) -> str | None:
    match = re.search(rf"^{name}:(\S+)", text, re.MULTILINE)
    return match[1] if match else None
