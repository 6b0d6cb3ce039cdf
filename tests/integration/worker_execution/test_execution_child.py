"""Starting a process out of one in which gRPC is busy, as a worker is."""

import asyncio
import os
import sys

from shared.child import Child
from tests.integration.worker_execution.busy_grpc import STARTS


async def test_every_start_succeeds_while_grpc_is_busy() -> None:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.worker_execution.busy_grpc"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "1"},
    )
    async with asyncio.timeout(60):
        said, _ = await program.communicate()
    assert said.decode() == f"{{0: {STARTS}}}\n"


async def test_how_it_ended_is_known() -> None:
    assert await Child([sys.executable, "-m", "no_module_of_that_name"]).wait() == 1
