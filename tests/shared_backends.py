"""Runs the emulators that all test processes of one session share, until standard input ends; prints where they are.

Run by `tests/conftest.py` where tests run side by side: a pair for each process would cost more than many of its tests.
Redis each has for itself, for some tests hear all that is said in it.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from deploy.local.backends import Backends, Given


async def main(logs: Path) -> None:
    async with Backends(logs, Given.read(os.environ)) as backends:
        emulators = (backends.pubsub, backends.firestore)
        sys.stdout.write(json.dumps({each.kind.variable: each.address for each in emulators}) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
