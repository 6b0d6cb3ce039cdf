"""Reading /proc: parsing, the tree of processes, and that CPU which was used is seen."""

import os
import subprocess
import sys

import pytest

from tests.load.placement import Cores
from tests.load.proc import Meter, Stat, cpu_seconds, descendants, parse_busy, resident_bytes

TICKS = os.sysconf("SC_CLK_TCK")


def line(name: str, parent: int, times: tuple[int, int, int, int]) -> str:
    before = f"S {parent} 1 1 0 -1 4194560 1 2 3 4"
    return f"4711 ({name}) {before} {' '.join(map(str, times))} 20 0 1 0 12345 1 1"


@pytest.mark.parametrize("name", ["python", "a b", "((sd) pam) 7 R 1"])
def test_a_name_with_blanks_and_parentheses_is_read_over(name: str) -> None:
    assert Stat.parse(line(name, 99, (100, 20, 0, 0))) == Stat(99, 120 / TICKS)


def test_children_that_have_ended_count() -> None:
    assert Stat.parse(line("x", 1, (1, 2, 30, 40))).cpu_seconds == pytest.approx(73 / TICKS)


def test_descendants_are_all_below_and_nobody_beside() -> None:
    stats = {pid: Stat(parent, 0) for pid, parent in {1: 0, 2: 1, 3: 2, 4: 2, 5: 1, 6: 5}.items()}
    assert descendants([2], stats) == {2, 3, 4}
    assert descendants([2, 3, 6], stats) == {2, 3, 4, 6}
    assert descendants([77], stats) == set()


def test_the_work_of_a_child_is_seen_while_it_lives_and_after() -> None:
    spin = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"
    used = Meter({"us": [os.getpid()]})
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert cpu_seconds([child.pid]) >= 0.18
        assert used.read()["us"] >= 0.18
        assert resident_bytes([child.pid]) > 1_000_000
    assert used.read()["us"] >= 0.18


def test_cores_are_set_apart_where_there_are_two() -> None:
    assert Cores.of([1, 0, 3]) == Cores(frozenset({0}), frozenset({1, 3}))
    assert Cores.of([1, 0]).apart
    assert not Cores.of([5]).apart


def test_idling_and_waiting_for_a_disk_is_not_work() -> None:
    text = "cpu  100 20 30 5000 4000 5 6 7 999 999\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 1\n"
    assert parse_busy(text) == pytest.approx(168 / TICKS)
