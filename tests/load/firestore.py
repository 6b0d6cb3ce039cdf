"""When Firestore took each job's last write, by Firestore's own clock, which on the emulator is this machine's.

That is the moment of a job's finish, seen from outside: `finished_at` in a job's JSON is rounded and read before the
write. What a client has later than this it waited for; part of it is the emulator's own time to answer the worker, so
figures made from it are upper bounds. Called by the rows after a run, never during one.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from tests.load.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_AT_ONCE: Final = 300
_SECONDS: Final = 30.0
_TIME: Final = re.compile(r"(.+?)(?:\.(\d{1,9}))?Z")


class DocumentMissingError(Exception):
    """Firestore has no document for a job whose result a client holds."""


def micros(text: str) -> int:
    """Microseconds since the epoch of one of Firestore's times. Raises ValueError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time")
    whole = datetime.fromisoformat(match[1] + "+00:00")
    return int(whole.timestamp()) * 1_000_000 + int((match[2] or "0").ljust(9, "0")[:6])


async def finished_at(emulator: str, project: str, ids: Sequence[str]) -> dict[str, int]:
    """Microseconds since the epoch at which each job was finished. Raises DocumentMissingError, aiohttp.ClientError."""
    root = f"projects/{project}/databases/(default)/documents"
    times: dict[str, int] = {}
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    headers = {"Authorization": "Bearer owner"}
    async with aiohttp.ClientSession(f"http://{emulator}", timeout=timeout, headers=headers) as session:
        for start in range(0, len(ids), _AT_ONCE):
            piece = ids[start : start + _AT_ONCE]
            wanted = {"documents": [f"{root}/jobs/{id}" for id in piece], "mask": {"fieldPaths": ["status"]}}
            async with session.post(f"/v1/{root}:batchGet", json=wanted) as answer:
                answer.raise_for_status()
                times.update(_times(await answer.json()))
    return times


def _times(found: list[dict[str, Any]]) -> dict[str, int]:
    missing = [each["missing"] for each in found if "missing" in each]
    if missing:
        raise DocumentMissingError(missing[0])
    documents = [each["found"] for each in found if "found" in each]
    return {document["name"].rpartition("/")[2]: micros(document["updateTime"]) for document in documents}


def lags(seen: Mapping[str, int], finished: Mapping[str, int]) -> Histogram:
    """How long after each job's finish its client had the bytes."""
    made = Histogram()
    for id, at in seen.items():
        made.record(at - finished[id])
    return made
