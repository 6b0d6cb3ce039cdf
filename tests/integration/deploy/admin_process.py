"""`sluice-admin` in a process of its own, against the real backends of the tests."""

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.integration.deploy.local_processes import ROOT, python

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Admin:
    """environ: added to ours."""

    environ: Mapping[str, str]

    async def run(self, *arguments: str, stdin: str = "", **environ: str) -> tuple[int, str, str]:
        """Exit status, and what it printed on both streams."""
        ended = await asyncio.to_thread(
            subprocess.run,
            python("-m", "deploy.admin", *arguments),
            cwd=ROOT,
            env={**os.environ, **self.environ, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        return ended.returncode, ended.stdout, ended.stderr

    async def told(self, *arguments: str, status: int = 0, **environ: str) -> Any:
        """What it printed as JSON."""
        found, out, err = await self.run(*arguments, "-o", "json", **environ)
        assert found == status, (found, out, err)
        return json.loads(out)
