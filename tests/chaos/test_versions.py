"""Old and new versions side by side, as during every deployment: R30 of `docs/guarantees.md`.

The other version is played by what it leaves behind: messages and documents with more in them, or less. What each codec
makes of them is shown in `tests/unit/shared/models/test_versions.py`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import orjson
import pytest

from shared.ids import IdKeys, Ids
from shared.models.envelope import Envelope
from shared.models.job import JobSpec, JobStatus
from tests.chaos.arena import KEY, Arena
from tests.chaos.messages import deliver
from tests.chaos.trial import Trial
from tests.chaos.work import AFTER_RETRIES

NEW_FIELD: Final = "from_a_later_version"
NEEDED: Final = frozenset(
    {"v", "attempt", "id", "tenant", "handler", "queue", "lane", "created_at", "expires_at", "timeout_seconds"}
    | {"max_attempts", "input"}
)
"""What a message cannot do without; the first version had no more."""

Alter = Callable[[dict[str, Any]], dict[str, Any]]


def newer(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, NEW_FIELD: {"deep": [1, None, "x"]}, "labels": {"team": "a"}}


def older(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name in NEEDED}


@pytest.mark.parametrize("alter", [newer, older])
async def test_r30_messages_of_another_version_are_worked_on(trial: Trial, alter: Alter) -> None:
    """R30: fields that nobody here knows are ignored, and those that came later are not missed."""
    place = trial.place
    async with trial.clients(1) as (client,):
        over = await client.carry(trial.piece("sample"))
        assert over is not None
        sample = (await trial.documents())[over.job].spec
        message = orjson.loads(Envelope(sample).encode())
        work = f"{trial.tag}{alter.__name__}"
        message |= {"id": _fresh_id(place, sample), "input": {"work": work}}
        await deliver(place, [orjson.dumps(alter(message))])
        met = await client.over(message["id"], work=work, wait=5)
    assert met is not None
    job = orjson.loads(met.body)
    assert (job["status"], job["output"]["work"], job["attempt"]) == ("succeeded", work, 1)
    assert job["labels"] == ({"team": "a"} if alter is newer else {})


async def test_r30_a_document_with_more_in_it_is_worked_on_and_keeps_what_is_not_ours(trial: Trial) -> None:
    """R30: a later version writes a field of its own into a job that waits for its retry; an earlier one ends it."""
    place = trial.place
    piece = trial.piece("retried", end=AFTER_RETRIES, task={"failures": 1, "seconds": 1.0})
    async with trial.clients(1) as (client,):
        accepted = await client.accepted(piece, within=10)
        assert accepted is not None
        async with asyncio.timeout(30):
            while (job := (await trial.documents()).get(accepted.job)) is None or job.status is JobStatus.QUEUED:
                await asyncio.sleep(0.05)
        await _write_field(place, accepted.job)
        assert await client.over(accepted.job, work=piece.work) is not None
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.restarts == {"retry": 1}
    assert NEW_FIELD in (await _fields(place, accepted.job))


def _fresh_id(place: Arena, sample: JobSpec) -> str:
    """As a gateway would issue it."""
    keys = IdKeys.parse(place.system.environ()["SLUICE_ID_KEYS"])
    lifetime_ms = sample.expires_at - sample.created_at
    return Ids(keys).issue("job", KEY.tenant, created_at=sample.created_at, lifetime_ms=lifetime_ms).text


def _document(place: Arena, id: str) -> str:
    documents = f"projects/{place.project}/databases/(default)/documents"
    return f"http://{place.backends.firestore.address}/v1/{documents}/jobs/{id}"


async def _write_field(place: Arena, id: str) -> None:
    body = {"fields": {NEW_FIELD: {"stringValue": "x"}}}
    params = {"updateMask.fieldPaths": NEW_FIELD, "currentDocument.exists": "true"}
    headers = {"Authorization": "Bearer owner"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.patch(_document(place, id), params=params, json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def _fields(place: Arena, id: str) -> dict[str, Any]:
    headers = {"Authorization": "Bearer owner"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(_document(place, id)) as answer:
        found: dict[str, Any] = (await answer.json())["fields"]
        return found
