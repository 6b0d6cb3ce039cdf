"""FirestoreDatabase before and without a connection: its context, its names, and credentials for the real service."""

import json
from pathlib import Path

import pytest

from shared.errors import ConfigError
from shared.storage.firestore import FirestoreDatabase, FirestoreJobs
from shared.storage.firestore.target import Collection, Target


async def test_calls_outside_the_context_are_a_fault() -> None:
    database = FirestoreDatabase("p", "127.0.0.1:1")
    with pytest.raises(RuntimeError):
        await FirestoreJobs(database).read("job_1")


async def test_credentials_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises(ConfigError, match="credentials"):
        await FirestoreDatabase("p").__aenter__()


async def test_the_real_service_is_entered_and_left_without_a_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing connects before the first call: starting does not depend on Firestore."""
    file = tmp_path / "user.json"
    file.write_text(
        json.dumps({"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"})
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    async with FirestoreDatabase("p", database="other"):
        pass


def test_names_and_metadata() -> None:
    target = Target("p", "other")
    assert target.documents == "projects/p/databases/other/documents"
    assert dict(target.metadata) == {
        "google-cloud-resource-prefix": "projects/p/databases/other",
        "x-goog-request-params": "database=projects/p/databases/other",
    }


def test_ids_and_names() -> None:
    collection = Collection("projects/p/databases/d/documents/timers/")
    assert collection.name("job_1:2") == "projects/p/databases/d/documents/timers/job_1:2"
    assert collection.id(collection.name("job_1:2")) == "job_1:2"
