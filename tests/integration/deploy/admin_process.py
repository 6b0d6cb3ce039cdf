"""`sluice-admin` in a process of its own, against the real backends of the tests."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.integration.deploy.local_processes import ROOT, python


@dataclass(frozen=True, slots=True)
class Admin:
    """environ: added to ours."""

    environ: Mapping[str, str]

    async def run(self, *arguments: str, stdin: str = "", **environ: str) -> tuple[int, str, str]:
        """Exit status, and what it printed on both streams."""
        process = await asyncio.create_subprocess_exec(
            *python("-m", "deploy.admin", *arguments),
            cwd=ROOT,
            env={**os.environ, **self.environ, **environ},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def told(self, *arguments: str, status: int = 0, **environ: str) -> Any:
        """What it printed as JSON."""
        found, out, err = await self.run(*arguments, "-o", "json", **environ)
        assert found == status, (found, out, err)
        return json.loads(out)
