"""`sluice-admin keys` in a process of its own, on the real store: made, listed, rotated, revoked; the secret once."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from deploy.local.backends import Backends
from services.gateway.access.auth import Authenticator
from services.gateway.http.problems import Problem
from shared.clock import SystemClock
from shared.storage.firestore import FirestoreDatabase, FirestoreKeys
from tests.contract.storage.storage_subject import PATIENT, new_project
from tests.integration.deploy.admin_process import Admin, Terminal
from tests.integration.deploy.local_processes import ROOT, python

EXIT_FAILED = 1


@dataclass(frozen=True, slots=True)
class Bench:
    admin: Admin
    keys: FirestoreKeys

    async def opens(self, secret: str) -> bool:
        """As a gateway that has never seen the key."""
        try:
            await Authenticator(self.keys, SystemClock()).authenticate(f"Bearer {secret}", "jobs:read")
        except Problem:
            return False
        return True


@pytest.fixture
async def bench(backends: Backends, terminal: Terminal) -> AsyncIterator[Bench]:
    project, address = new_project(), backends.firestore.address
    admin = Admin(terminal, {"SLUICE_PROJECT": project, "FIRESTORE_EMULATOR_HOST": address})
    async with FirestoreDatabase(project, address, limits=PATIENT) as database:
        yield Bench(admin, FirestoreKeys(database))


async def test_the_life_of_a_key(bench: Bench) -> None:
    made = await bench.admin.told(
        "keys", "create", "acme", "--scope", "jobs:read", "--name", "[red]reports", "--burst", "5"
    )
    assert await bench.opens(made["secret"])
    status, out, _ = await bench.admin.run("keys", "rotate", made["id"], "--overlap-seconds", "3600")
    assert status == 0
    [secret] = re.findall(r"sk_\S+", out)
    assert await bench.opens(made["secret"])
    assert await bench.opens(secret)
    revoked = await bench.admin.told("keys", "revoke", made["id"])
    assert revoked["revoked_at"] is not None
    assert not await bench.opens(made["secret"])
    assert not await bench.opens(secret)
    status, out, _ = await bench.admin.run("keys", "list", "--tenant", "acme")
    assert (status, out.count(made["id"])) == (0, 1)
    assert "[red]reports" in out
    assert "sk_" not in out


async def test_what_cannot_be_done_is_one_line_and_a_status(bench: Bench) -> None:
    """The command as its user starts it, which the others are not: theirs is forked from one that has started."""
    started = await asyncio.create_subprocess_exec(
        *python("-m", "deploy.admin", "keys", "revoke", "k0"),
        cwd=ROOT,
        env={**os.environ, **bench.admin.environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await started.communicate()
    told = (started.returncode, out.decode(), err.decode())
    assert told == (EXIT_FAILED, "", "KeyNotFound: there is no key k0\n")
    assert await bench.admin.run("keys", "revoke", "k0") == told
