"""The harness and a generator process: a plan goes in, a result comes out whole, and nothing is left behind."""

import os

import pytest

from deploy.local.guard import Guard
from tests.load.generating import GeneratorFailedError, carry_out, generator
from tests.load.generator.http1 import get
from tests.load.generator.plans import Closed, Exchange
from tests.load.placement import Cores

CORES = Cores.here().others
_MANY = 8_000


def plan(port: int) -> Closed:
    return Closed("127.0.0.1", port, [Exchange(get("/x").decode(), "right")], 2, 0.0, 0.2)


async def test_a_result_larger_than_a_pipe_comes_whole(serving_ids: int) -> None:
    """It is still under way when the generator has nothing left to do."""
    orders = Closed("127.0.0.1", serving_ids, [Exchange(get("/x").decode())], 8, 0.0, 30, check="accepted", count=_MANY)
    async with Guard() as guard:
        tally = await carry_out(guard, CORES, orders, 30)
    assert (len(tally.ids), tally.wrong) == (_MANY, 0)


async def test_a_generator_that_cannot_connect_is_told_of(capfd: pytest.CaptureFixture[str]) -> None:
    async with Guard() as guard:
        with pytest.raises(GeneratorFailedError, match="without a result"):
            await carry_out(guard, CORES, plan(1), 5)
    assert "ConnectionRefusedError" in capfd.readouterr().err


async def test_a_generator_is_gone_when_its_block_ends() -> None:
    async with Guard() as guard, generator(guard, CORES) as idle:
        pid = idle.pid
        assert os.sched_getaffinity(pid) == CORES
    with pytest.raises(ProcessLookupError):
        os.sched_getaffinity(pid)
