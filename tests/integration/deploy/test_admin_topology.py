"""`sluice-admin topology` in a process of its own: shown, applied, and nothing left to do."""

import os

from deploy.local.backends import Backends
from tests.contract.storage.storage_subject import new_project
from tests.integration.deploy.admin_process import Admin, Terminal


async def test_what_is_shown_is_what_is_applied(backends: Backends, terminal: Terminal) -> None:
    environ = {**backends.environ(), "SLUICE_PROJECT": new_project(), "SLUICE_PREFIX": f"s{os.urandom(4).hex()}"}
    admin = Admin(terminal, {**environ, "SLUICE_QUEUES": "one,two"})
    shown = await admin.run("topology", "show")
    missing = await admin.told("topology", "diff", status=1)
    made = await admin.told("topology", "apply")
    assert {change["change"] for change in made} == {"created"}
    assert made == missing
    assert all(f'"{change["name"]}"' in shown[1] for change in made)
    assert await admin.told("topology", "diff") == []
    status, out, _ = await admin.run("topology", "apply")
    assert (status, out) == (0, "9 topics and 10 subscriptions are as declared\n")
