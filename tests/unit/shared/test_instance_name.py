"""What a process is called: no two the same, not even where every machine has the same name."""

import os

from shared.lifecycle import _instance


def test_a_process_is_named_after_its_machine() -> None:
    assert _instance("gateway-7f9c") == f"gateway-7f9c-{os.getpid()}"


def test_processes_of_machines_without_a_name_are_told_apart() -> None:
    assert len({_instance("localhost") for _ in range(100)}) == 100
