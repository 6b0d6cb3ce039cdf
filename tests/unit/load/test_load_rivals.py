"""The rivals, as far as that can be judged without their packages: figures, waits, and that nothing of them stays."""

import os
import sys
from pathlib import Path

import pytest

from deploy.local.errors import StartFailedError
from deploy.local.guard import Guard
from tests.integration.deploy.local_processes import all_gone
from tests.load.arguments import parse
from tests.load.bench import Bench
from tests.load.peers.waits import LEAST_SECONDS, MOST_SECONDS, steps, wait_seconds
from tests.load.placement import Cores
from tests.load.proc import descendants, read_stats
from tests.load.results import Row
from tests.load.rivals import QUEUES
from tests.load.rows import p2, p3

OURS = p3.Cost(rate=1_000, front_cpu=0.1, worker_cpu=0.2)
THEIRS = p3.Cost(rate=1_500, front_cpu=0.4, worker_cpu=0.5)
SERVING = ("-m", "http.server", "{port}", "--bind", "127.0.0.1")


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=30", 30),
        ("respond-async, Wait=5", 5),
        ("wait=100000", MOST_SECONDS),
        ("wait=0", LEAST_SECONDS),
        ("wait=-3", LEAST_SECONDS),
        ("wait=soon", LEAST_SECONDS),
        ("await=30", LEAST_SECONDS),
        ("", LEAST_SECONDS),
    ],
)
def test_the_wait_that_a_client_prefers_is_kept_within_bounds(prefer: str, seconds: float) -> None:
    assert wait_seconds(prefer) == seconds


@pytest.mark.parametrize(("seconds", "parts"), [(3, [1, 1, 1]), (1.5, [1, 0.5]), (LEAST_SECONDS, [LEAST_SECONDS])])
def test_a_wait_is_spent_in_parts_that_sum_up_to_it(seconds: float, parts: list[float]) -> None:
    assert steps(seconds) == parts


def test_ratios_are_ours_over_theirs() -> None:
    figures = p3.compared("arq", OURS, THEIRS)
    assert figures["of_arq"] == pytest.approx(2 / 3)
    assert figures["of_arq_cpu"] == pytest.approx(1 / 3)
    assert (figures["arq_per_s"], figures["arq_front_cpu"]) == (1_500, 0.4)
    assert figures["arq_cpu"] == pytest.approx(0.9)


@pytest.mark.parametrize("nothing", [p3.Cost(0, 1, 1), p3.Cost(1, 0, 0)])
def test_a_rival_that_did_nothing_is_not_compared(nothing: p3.Cost) -> None:
    with pytest.raises(ValueError, match="saq"):
        p3.compared("saq", OURS, nothing)


@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_has_a_module_and_its_figures(queue: str) -> None:
    assert Path(p2.__file__).parent.parent.joinpath("peers", "queues", f"{queue}.py").is_file()
    Row("P2", "", p2.QUANTITIES).add({f"{queue}_per_s": 1, f"of_{queue}": 1})
    row = Row("P3", "", p3.QUANTITIES)
    row.add({**p3.compared(queue, OURS, THEIRS), f"{queue}_p50_ms": 1})
    assert len(row.figures) == sum(queue in quantity.key for quantity in p3.QUANTITIES)


def bench(guard: Guard, folder: Path) -> Bench:
    return Bench(parse([], ("p3",)), Cores.here(), guard, folder)


async def fail_beside(made: Bench, argv: tuple[str, ...], pids: list[int]) -> None:
    async with made.server("it", argv, os.environ, alone=False) as it:
        pids += descendants([it.pid], read_stats())
        raise RuntimeError("the row failed")


async def test_a_server_and_what_it_started_end_with_their_block_also_when_that_fails(tmp_path: Path) -> None:
    spawn = (
        "import runpy, subprocess as s; s.Popen(['sleep', '600']); runpy.run_module('http.server', None, '__main__')"
    )
    pids: list[int] = []
    async with Guard() as guard:
        with pytest.raises(RuntimeError, match="the row failed"):
            await fail_beside(bench(guard, tmp_path), (sys.executable, "-c", spawn, *SERVING[2:]), pids)
        assert len(pids) == 2
        await all_gone(pids)


@pytest.mark.parametrize("alone", [True, False])
async def test_a_server_is_set_apart_when_it_is_measured_alone(tmp_path: Path, alone: bool) -> None:
    argv = (sys.executable, *SERVING)
    async with Guard() as guard, bench(guard, tmp_path).server("it", argv, os.environ, alone=alone) as it:
        cores = Cores.here()
        expected = cores.measured if alone else cores.measured | cores.others
        assert os.sched_getaffinity(it.pid) == expected


async def test_a_process_that_ends_before_it_is_ready_is_told_of_with_its_last_words(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "raise SystemExit('no such queue')")
    async with Guard() as guard:
        with pytest.raises(StartFailedError, match="no such queue"):
            async with bench(guard, tmp_path).process("worker", argv, os.environ, "http://127.0.0.1:1/"):
                raise AssertionError("it was said to be ready")
