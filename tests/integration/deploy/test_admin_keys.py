"""`sluice-admin keys` in a process of its own, on the real store: made, listed, rotated, revoked; the secret once."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local.backends import Backends
from services.gateway.access.auth import Authenticator
from services.gateway.http.problems import Problem
from shared.clock import SystemClock
from shared.storage.firestore import FirestoreDatabase, FirestoreKeys
from tests.contract.storage.storage_subject import PATIENT, new_project
from tests.integration.deploy.local_processes import ROOT, python

EXIT_FAILED = 1


@dataclass(frozen=True, slots=True)
class Admin:
    project: str
    firestore: str
    keys: FirestoreKeys

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, and what it printed."""
        environ = {**os.environ, "SLUICE_PROJECT": self.project, "FIRESTORE_EMULATOR_HOST": self.firestore}
        process = await asyncio.create_subprocess_exec(
            *python("-m", "deploy.admin", "keys", *arguments),
            cwd=ROOT,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def told(self, *arguments: str) -> Any:
        status, out, err = await self.run(*arguments, "-o", "json")
        assert status == 0, err
        return json.loads(out)

    async def opens(self, secret: str) -> bool:
        """As a gateway that has never seen the key."""
        try:
            await Authenticator(self.keys, SystemClock()).authenticate(f"Bearer {secret}", "jobs:read")
        except Problem:
            return False
        return True


@pytest.fixture
async def admin(backends: Backends) -> AsyncIterator[Admin]:
    project, address = new_project(), backends.firestore.address
    async with FirestoreDatabase(project, address, limits=PATIENT) as database:
        yield Admin(project, address, FirestoreKeys(database))


async def test_the_life_of_a_key(admin: Admin) -> None:
    made = await admin.told("create", "acme", "--scope", "jobs:read", "--name", "[red]reports", "--burst", "5")
    assert await admin.opens(made["secret"])
    status, out, _ = await admin.run("rotate", made["id"], "--overlap-seconds", "3600")
    assert status == 0
    [secret] = re.findall(r"sk_\S+", out)
    assert await admin.opens(made["secret"])
    assert await admin.opens(secret)
    revoked = await admin.told("revoke", made["id"])
    assert revoked["revoked_at"] is not None
    assert not await admin.opens(made["secret"])
    assert not await admin.opens(secret)
    status, out, _ = await admin.run("list", "--tenant", "acme")
    assert (status, out.count(made["id"])) == (0, 1)
    assert "[red]reports" in out
    assert "sk_" not in out


async def test_what_cannot_be_done_is_one_line_and_a_status(admin: Admin) -> None:
    status, out, err = await admin.run("revoke", "k0")
    assert (status, out, err) == (EXIT_FAILED, "", "KeyNotFound: there is no key k0\n")
