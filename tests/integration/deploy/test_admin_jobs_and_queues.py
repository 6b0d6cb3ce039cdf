"""`sluice-admin jobs` and `queues` in a process of its own, on the real store and Redis."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from deploy.local.backends import Backends
from shared.clock import MILLISECONDS, SystemClock
from shared.ids import IdKeys, Ids
from shared.models.handler import HandlerEntry
from shared.models.job import Job, JobSpec, JobStatus
from shared.storage.firestore import FirestoreCatalogue, FirestoreDatabase, FirestoreJobs, FirestoreQueueControls
from tests.contract.storage.storage_subject import PATIENT, new_project
from tests.integration.deploy.admin_process import Admin, Terminal

KEY = f"1:{'ab' * 32}"
EXIT_FAILED, EXIT_USAGE = 1, 2
HOUR_MS = 3_600 * MILLISECONDS


@dataclass(frozen=True, slots=True)
class Bench:
    admin: Admin
    jobs: FirestoreJobs
    controls: FirestoreQueueControls
    catalogue: FirestoreCatalogue
    ids: Ids

    def spec(self, tenant: str = "acme", **more: object) -> JobSpec:
        now = SystemClock().now()
        issued = self.ids.issue("job", tenant, created_at=now, lifetime_ms=HOUR_MS)
        spec = JobSpec(
            issued.text,
            tenant,
            "text.stats",
            "texts",
            b"{}",
            now,
            issued.expires_at,
            timeout_seconds=30,
            max_attempts=3,
        )
        return replace(spec, **more)  # type: ignore[arg-type]  # fields of the spec

    async def running(self, spec: JobSpec) -> Job:
        job = Job.queued(spec).claimed(
            attempt=1, fence="f", worker="worker-1", lease_seconds=600, at=SystemClock().now()
        )
        await self.jobs.create(job)
        return job


@pytest.fixture
async def bench(backends: Backends, terminal: Terminal) -> AsyncIterator[Bench]:
    project, address = new_project(), backends.firestore.address
    environ = {**backends.environ(), "SLUICE_PROJECT": project, "SLUICE_ID_KEYS": KEY}
    environ["SLUICE_PREFIX"] = f"sluice-{os.urandom(4).hex()}"
    async with FirestoreDatabase(project, address, limits=PATIENT) as database:
        yield Bench(
            Admin(terminal, environ),
            FirestoreJobs(database),
            FirestoreQueueControls(database),
            FirestoreCatalogue(database),
            Ids(IdKeys.parse(KEY)),
        )


async def test_a_job_is_shown_listed_and_explained(bench: Bench) -> None:
    spec = bench.spec(labels={"team": "a"})
    await bench.running(spec)
    await bench.running(bench.spec(labels={"team": "b"}))
    shown, why, listed = await asyncio.gather(
        bench.admin.told("jobs", "get", spec.id),
        bench.admin.told("jobs", "explain", spec.id),
        bench.admin.told("jobs", "list", "acme", "--status", "running", "--label", "team=a"),
    )
    assert (shown["id"], shown["status"], shown["attempt"]) == (spec.id, "running", 1)
    assert (why["reason"], why["worker"]) == ("running", "worker-1")
    assert [job["id"] for job in listed] == [spec.id]


async def test_a_list_goes_beyond_a_page(bench: Bench) -> None:
    await asyncio.gather(*(bench.running(bench.spec()) for _ in range(103)))
    listed = await bench.admin.told("jobs", "list", "acme", "--limit", "102")
    assert len({job["id"] for job in listed}) == 102


async def test_many_are_canceled_and_each_says_what_became_of_it(bench: Bench) -> None:
    runs, over, waits = bench.spec(), bench.spec(), bench.spec()
    await bench.running(runs)
    ended = (await bench.running(over)).succeeded(b"1", at=SystemClock().now())
    found = await bench.jobs.read(over.id)
    assert found
    await bench.jobs.update(ended, found.version)
    ids = f"{runs.id}\n{over.id}\n\n{waits.id}\n"
    status, out, _ = await bench.admin.run("jobs", "cancel", "-", "--tenant", "acme", stdin=ids)
    assert status == EXIT_FAILED
    assert "is succeeded" in out
    stored = [await bench.jobs.read(spec.id) for spec in (runs, over, waits)]
    states = [(each.value.status, each.value.cancel_requested_at is not None) for each in stored if each]
    assert states == [(JobStatus.RUNNING, True), (JobStatus.SUCCEEDED, False), (JobStatus.CANCELED, True)]
    again = await bench.admin.told("jobs", "cancel", runs.id, waits.id)
    assert [each["trouble"] for each in again] == [None, None]


async def test_a_job_that_nobody_has_claimed_is_known_by_its_id(bench: Bench) -> None:
    spec = bench.spec()
    assert (await bench.admin.told("jobs", "get", spec.id, "--tenant", "acme"))["status"] == "queued"
    why = await bench.admin.told("jobs", "explain", spec.id, "--tenant", "acme")
    assert why["reason"] == "waiting_for_worker"
    status, _, err = await bench.admin.run("jobs", "get", spec.id, "--tenant", "other")
    assert (status, err) == (EXIT_FAILED, f"JobNotFound: {spec.id} was never issued to other\n")
    status, _, err = await bench.admin.run("jobs", "get", spec.id, SLUICE_ID_KEYS="")
    assert (status, "SLUICE_ID_KEYS" in err) == (EXIT_FAILED, True)


async def test_a_queue_is_paused_and_resumed(bench: Bench) -> None:
    entry = HandlerEntry("text.stats", "texts", "1", {}, {}, timeout_seconds=1, max_attempts=1, cache_for_seconds=0)
    await bench.catalogue.announce([entry])
    assert (await bench.admin.told("queues", "pause", "texts"))["paused"]
    assert (await bench.admin.told("queues", "pause", "texts"))["paused"]
    assert [control.paused for control in await bench.controls.all()] == [True]
    listed = await bench.admin.told("queues", "list")
    assert [(lane["name"], lane["lane"], lane["paused"]) for lane in listed] == [
        ("texts", "interactive", True),
        ("texts", "bulk", True),
    ]
    assert listed[0]["backlog"] is None
    assert not (await bench.admin.told("queues", "resume", "texts"))["paused"]
    assert [control.paused for control in await bench.controls.all()] == [False]


async def test_what_cannot_be_done_is_one_line_and_a_status(bench: Bench) -> None:
    status, out, err = await bench.admin.run("queues", "pause", "none")
    assert (status, out, err) == (EXIT_FAILED, "", "QueueNotFound: there is no queue none; there are: none\n")
    status, out, err = await bench.admin.run("jobs", "list", "acme", "--created-after", "yesterday")
    assert (status, out) == (EXIT_USAGE, "")
    assert "RFC" not in err
    assert "is not a time" in err
