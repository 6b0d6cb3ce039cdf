"""What a worker learns of its handlers at the start, and what it says when they cannot be loaded."""

import os
from pathlib import Path
from typing import Any

import pytest

from services.worker.execution.errors import HandlersNotLoaded
from services.worker.execution.outcomes import Interrupted, Succeeded
from tests.integration.worker_execution.running import engine, task

HANDLER = """
from sluice import Handlers
handlers = Handlers(queue="mine")

@handlers.on("mine")
async def mine(input: int) -> int:
    return input
"""


async def fault(folder: Path, *paths: str, **settings: Any) -> HandlersNotLoaded:
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    with pytest.raises(HandlersNotLoaded) as raised:
        async with engine(environ=environ, handlers=paths, **settings):
            pass
    return raised.value


async def test_the_catalogue_says_what_is_announced() -> None:
    async with engine() as running:
        loaded = running.catalogue["echo.loop"]
        assert running.slots == {"loop": 200, "thread": 16, "process": 2}
        assert running.catalogue["spin.loop"].entry.queue == "unruly"
    entry = loaded.entry
    assert loaded.run_in == "loop"
    assert (entry.name, entry.queue, entry.version) == ("echo.loop", "ordinary", "v2")
    assert (entry.timeout_seconds, entry.max_attempts, entry.cache_for_seconds) == (7, 3, 9)
    assert entry.description == "Gives back what it got."
    assert entry.input_schema["properties"]["text"]["type"] == "string"
    assert entry.output_schema["type"] == "object"


async def test_every_path_at_fault_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(HANDLER)
    (tmp_path / "twin.py").write_text(HANDLER)
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit('not today')")
    (tmp_path / "breaks.py").write_text("import nothing_of_that_name")
    paths = ("good:handlers", "twin:handlers", "leaves:handlers", "breaks:handlers", "absent:handlers", "good:os")
    raised = await fault(tmp_path, *paths)
    reasons = {each.path: each.reason for each in raised.faults}
    assert list(reasons) == list(paths[1:])
    assert reasons["twin:handlers"] == "handler 'mine' is also in good:handlers"
    assert "SystemExit: not today" in reasons["leaves:handlers"]
    assert "nothing_of_that_name" in reasons["breaks:handlers"]
    assert "there is no module 'absent'" in reasons["absent:handlers"]
    assert "good:handlers" in reasons["good:os"]
    assert all(path in str(raised) for path in paths[1:])


async def test_a_module_that_ends_the_process_is_a_fault_too(tmp_path: Path) -> None:
    (tmp_path / "gone.py").write_text("import os\nos._exit(4)")
    raised = await fault(tmp_path, "gone:handlers")
    assert "gone:handlers" in str(raised)
    assert "exited with status 4" in str(raised)


async def test_a_module_that_loads_for_ever_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("while True: pass")
    raised = await fault(tmp_path, "slow:handlers", start_seconds=1.0)
    assert "had not loaded the handlers after 1 s" in str(raised)


async def test_a_runner_that_loads_other_handlers_than_announced_is_refused(tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text(HANDLER)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    async with engine(environ=environ, handlers=("mine:handlers",), solo_slots=1) as running:
        module.write_text(HANDLER.replace('"mine"', '"renamed"'))
        outcome = await running.run(task("mine", alone=True))
        assert isinstance(outcome, Interrupted)
        assert "restart the worker" in outcome.cause
        assert await running.run(task("mine", input=b"3")) == Succeeded(b"3")
        module.write_text(HANDLER)
        assert await running.run(task("mine", input=b"4", alone=True)) == Succeeded(b"4")
