"""`sluice-admin topology` in a process of its own: push as it is set, queues that are paused, and the way back."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from deploy.local.backends import Backends
from shared.clock import SystemClock
from shared.models.queue import QueueControl
from shared.storage.firestore import FirestoreDatabase, FirestoreQueueControls
from tests.contract.storage.storage_subject import new_project
from tests.integration.deploy.admin_process import Terminal

EXIT_FAILED, EXIT_CONFIG = 1, 78
PUSHED = {
    "SLUICE_PUSH_ENDPOINT": "http://127.0.0.1:1/{queue}",
    "SLUICE_PUSH_EMAIL": "pusher@project.example",
    "SLUICE_PUSH_QUEUES": "images,texts",
}


@dataclass(frozen=True, slots=True)
class Admin:
    terminal: Terminal
    environ: dict[str, str]
    controls: FirestoreQueueControls
    prefix: str = field(default_factory=lambda: f"a{os.urandom(6).hex()}")

    async def topology(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Exit status, and what it printed."""
        changed = {**self.environ, "SLUICE_PREFIX": self.prefix, **environ}
        status, out, err = await self.terminal.run("topology", *arguments, environ=changed)
        return status, out + err


@pytest.fixture
async def admin(backends: Backends, terminal: Terminal) -> AsyncIterator[Admin]:
    project = new_project()
    environ = {**backends.environ(), "SLUICE_PROJECT": project, "SLUICE_QUEUES": "images,texts,pulled"}
    async with FirestoreDatabase(project, backends.firestore.address) as database:
        yield Admin(terminal, environ, FirestoreQueueControls(database))


async def test_queues_are_pushed_but_for_those_that_are_paused_and_pull_again(admin: Admin) -> None:
    assert (await admin.topology("apply"))[0] == 0
    await admin.controls.put(QueueControl("texts", SystemClock().now()))
    status, told = await admin.topology("apply", **PUSHED)
    assert status == 0, told
    for lane in ("interactive", "bulk"):
        assert f"{admin.prefix}-jobs-images-{lane}.worker: ack_deadline_seconds, push_config" in told
        assert f"{admin.prefix}-jobs-texts-{lane}.worker: ack_deadline_seconds\n" in told
    assert "pulled" not in told
    await admin.controls.put(QueueControl("texts"))
    status, told = await admin.topology("diff", **PUSHED)
    assert status == EXIT_FAILED
    assert told.count("push_config") == 2
    assert told.count("texts") == 2
    status, told = await admin.topology("apply", "--pull")
    assert (status, told.count("push_config")) == (0, 2)
    assert await admin.topology("diff", "--pull") == (0, "")


async def test_half_of_a_push_is_refused_before_anything_is_done(admin: Admin) -> None:
    status, told = await admin.topology("apply", SLUICE_PUSH_ENDPOINT="https://worker.example")
    assert (status, "SLUICE_PUSH_EMAIL" in told) == (EXIT_CONFIG, True)
    status, told = await admin.topology("apply", **{**PUSHED, "SLUICE_PUSH_ENDPOINT": "worker.example"})
    assert (status, "SLUICE_PUSH_ENDPOINT" in told) == (EXIT_CONFIG, True)
