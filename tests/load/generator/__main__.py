"""`python -m tests.load.generator`: one plan from stdin, events to stdout, and then the end."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import orjson
import uvloop

from tests.load.generator.closed import ClosedLoop
from tests.load.generator.jobs import Flow
from tests.load.generator.open import OpenLoop
from tests.load.generator.plans import Closed, Jobs, Open, Plan, Single, Waiters, decode
from tests.load.generator.waiters import Crowd

if TYPE_CHECKING:
    from tests.load.generator.plans import Tally


def _tell(event: str, **fields: Any) -> None:
    # With PYTHONUNBUFFERED, stdout's own buffer is the bare file, whose write may stop half way and says so to nobody.
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(orjson.dumps({"event": event, **fields}) + b"\n")


async def _carry_out(plan: Plan) -> Tally:
    match plan:
        case Closed():
            return await ClosedLoop(plan).run()
        case Open():
            return await OpenLoop(plan).run()
        case Jobs():
            return await Flow(plan).run()
        case Waiters():
            return await Crowd(plan).run(lambda: _tell("waiting"))
        case Single():
            from tests.load.generator.single import run_single  # the Pub/Sub types take a second to import

            return await run_single(plan)


def main() -> None:
    plan = decode(orjson.loads(sys.stdin.buffer.readline()))
    gc.freeze()
    gc.disable()  # a pause here would be told of the server; the run is short and bounded
    tally = uvloop.run(_carry_out(plan))
    _tell("done", tally=tally.to_json())
    sys.stdin.buffer.read()  # until the harness ends us: asyncio may drop what is unread when a process exits


if __name__ == "__main__":
    main()
