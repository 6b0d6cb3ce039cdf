"""The npm library `standardwebhooks`, as a consumer in Node has it. Installed once, from a lock file, into .cache."""

import asyncio
import base64
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local.system import ROOT

HERE = Path(__file__).parent / "node"
INSTALL_SECONDS = 120.0
RUN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Case:
    secret: str
    headers: Mapping[str, str]
    body: bytes

    def members(self) -> dict[str, Any]:
        body = base64.b64encode(self.body).decode()
        return {"secret": self.secret, "headers": dict(self.headers), "body": body}


async def verified(cases: Sequence[Case]) -> list[str]:
    """For each the message as the library gives it out, as JSON, or the name of the error that it throws.

    Skips the test where there is no Node.
    """
    node, npm = shutil.which(os.environ.get("NODE", "node")), shutil.which(os.environ.get("NPM", "npm"))
    if node is None or npm is None:
        pytest.skip("Node is not installed: node and npm, on the PATH or named by NODE and NPM")
    folder = await _installed(npm)
    given = orjson.dumps([case.members() for case in cases])
    answers: list[str] = orjson.loads(await _run(node, str(HERE / "verify.mjs"), str(folder), given=given))
    return answers


async def _installed(npm: str) -> Path:
    """The folder with the locked libraries; made where it is not there, whole or not at all."""
    locked = (HERE / "package-lock.json").read_bytes()
    folder = ROOT / ".cache/node" / hashlib.sha256(locked).hexdigest()[:16]
    if folder.exists():
        return folder
    making = folder.with_suffix(f".{os.getpid()}")
    making.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, making)
    await _run(npm, "ci", "--prefix", str(making), "--ignore-scripts", "--no-audit", "--no-fund")
    try:
        making.rename(folder)
    except OSError:  # another run was quicker
        shutil.rmtree(making)
    return folder


async def _run(*command: str, given: bytes = b"") -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(INSTALL_SECONDS if not given else RUN_SECONDS):
            out, complaint = await process.communicate(given)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, complaint.decode()
    return out
